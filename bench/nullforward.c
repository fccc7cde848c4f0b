/* The floor: a forwarder that reads nothing of what it forwards.  Its cost is the kernel's UDP path and no more.
 *
 *   nullforward LISTEN PORT CLIENT PORT DESTINATIONS PORT COUNT
 *
 * What comes from CLIENT goes to the COUNT addresses after DESTINATIONS in turn, everything else to CLIENT. */
#include "udp.h"

int main(int argc, char **argv) {
    if (argc != 8) {
        fprintf(stderr, "usage: nullforward LISTEN PORT CLIENT PORT DESTINATIONS PORT COUNT\n");
        return 2;
    }
    struct sockaddr_in client = address(argv[3], atoi(argv[4]));
    struct sockaddr_in base = address(argv[5], atoi(argv[6])), source[BATCH], next[BATCH];
    unsigned turn = 0, count = atoi(argv[7]);
    int s = bound_socket(argv[1], atoi(argv[2]));
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
        send_all(s, messages, got);
    }
}
