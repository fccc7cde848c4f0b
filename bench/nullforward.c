/* The floor: a forwarder that reads nothing of what it forwards.  Its cost is the kernel's UDP path and no more.
 *
 *   nullforward LISTEN PORT CLIENT PORT DESTINATIONS PORT COUNT
 *
 * What comes from CLIENT goes to the COUNT addresses after DESTINATIONS in turn, everything else to CLIENT. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#define BATCH 64
#define DATAGRAM 4096
#define SOCKET_BUFFER (8 << 20)

static struct sockaddr_in address(const char *host, int port) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, host, &a.sin_addr);
    return a;
}

int main(int argc, char **argv) {
    if (argc != 8) {
        fprintf(stderr, "usage: nullforward LISTEN PORT CLIENT PORT DESTINATIONS PORT COUNT\n");
        return 2;
    }
    struct sockaddr_in own = address(argv[1], atoi(argv[2])), client = address(argv[3], atoi(argv[4]));
    struct sockaddr_in base = address(argv[5], atoi(argv[6])), source[BATCH], next[BATCH];
    unsigned turn = 0, count = atoi(argv[7]);
    int s = socket(AF_INET, SOCK_DGRAM, 0), size = SOCKET_BUFFER;
    setsockopt(s, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
    if (bind(s, (struct sockaddr *)&own, sizeof own)) {
        perror("nullforward: bind");
        return 2;
    }
    static char buffer[BATCH][DATAGRAM];
    struct mmsghdr messages[BATCH];
    struct iovec vector[BATCH];
    for (;;) {
        for (int i = 0; i < BATCH; i++) {
            vector[i] = (struct iovec){buffer[i], DATAGRAM};
            messages[i].msg_hdr = (struct msghdr){
                .msg_name = &source[i], .msg_namelen = sizeof source[i], .msg_iov = &vector[i], .msg_iovlen = 1};
        }
        int got = recvmmsg(s, messages, BATCH, MSG_WAITFORONE, NULL);
        for (int i = 0; i < got; i++) {
            next[i] = client;
            if (source[i].sin_addr.s_addr == client.sin_addr.s_addr) {
                next[i] = base;
                next[i].sin_addr.s_addr = htonl(ntohl(base.sin_addr.s_addr) + 1 + turn++ % count);
            }
            vector[i].iov_len = messages[i].msg_len;
            messages[i].msg_hdr.msg_name = &next[i];
        }
        for (int done = 0; done < got;) {
            int sent = sendmmsg(s, messages + done, got - done, 0);
            if (sent <= 0)
                break;
            done += sent;
        }
    }
}
