/* What the bench's programs share: addresses, sockets with room for a burst, sending a whole batch. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#define BATCH 64
#define DATAGRAM 5184 /* 4 kB and what a proxy adds */
#define SOCKET_BUFFER (8 << 20)

static inline struct sockaddr_in address(const char *host, int port) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    if (inet_pton(AF_INET, host, &a.sin_addr) != 1) {
        fprintf(stderr, "not an IPv4 address: %s\n", host);
        exit(2);
    }
    return a;
}

static inline int bound_socket(const char *host, int port) {
    struct sockaddr_in a = address(host, port);
    int s = socket(AF_INET, SOCK_DGRAM, 0), size = SOCKET_BUFFER;
    setsockopt(s, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
    setsockopt(s, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size);
    if (bind(s, (struct sockaddr *)&a, sizeof a)) {
        perror(host);
        exit(2);
    }
    return s;
}

/* How many the kernel has taken. */
static inline int send_all(int s, struct mmsghdr *messages, int count) {
    int done = 0;
    while (done < count) {
        int sent = sendmmsg(s, messages + done, count - done, 0);
        if (sent > 0)
            done += sent;
        else if (errno != ECONNREFUSED) /* a port was closed a moment ago: the error of an earlier send, not of this */
            break;
    }
    return done;
}
