/* What a listener on the internet gets besides calls: datagrams from one source, and nobody waits for an answer.
 *
 *   sipflood PROXY PORT CLIENT PORT SECONDS RATE KIND
 *
 * KIND g is garbage of 200 bytes, s a scanner's OPTIONS with a Call-ID of its own each time.  RATE a second at most (0: as
 * many as the kernel takes).  Prints how many were sent, and in how many seconds. */
#include "udp.h"

#include <sched.h>
#include <string.h>
#include <time.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static int garbage(char *out, long id) {
    for (int i = 0; i < 200; i++)
        out[i] = (char)(id = id * 6364136223846793005L + 1442695040888963407L, id >> 33);
    return 200;
}

static int scan(char *out, char **argv, long id) {
    return snprintf(out, DATAGRAM,
        "OPTIONS sip:100@%s SIP/2.0\r\nVia: SIP/2.0/UDP %s:%s;branch=z9hG4bK-%ld;rport\r\nContent-Length: 0\r\n"
        "From: \"sipvicious\"<sip:100@1.1.1.1>;tag=%lx\r\nAccept: application/sdp\r\nUser-Agent: friendly-scanner\r\n"
        "To: \"sipvicious\"<sip:100@1.1.1.1>\r\nContact: sip:100@%s:%s\r\nCSeq: 1 OPTIONS\r\nCall-ID: %ld\r\n"
        "Max-Forwards: 70\r\n\r\n",
        argv[1], argv[3], argv[4], id, id, argv[3], argv[4], id);
}

int main(int argc, char **argv) {
    if (argc != 8) {
        fprintf(stderr, "usage: sipflood PROXY PORT CLIENT PORT SECONDS RATE KIND\n");
        return 2;
    }
    static char out[BATCH][DATAGRAM];
    struct mmsghdr messages[BATCH];
    struct iovec vector[BATCH];
    struct sockaddr_in proxy = address(argv[1], atoi(argv[2]));
    int s = bound_socket(argv[3], atoi(argv[4]));
    connect(s, (struct sockaddr *)&proxy, sizeof proxy);
    double started = now(), seconds = atof(argv[5]), rate = atof(argv[6]);
    long sent = 0;
    while (now() < started + seconds) {
        if (rate > 0 && sent + BATCH > (now() - started) * rate) {
            sched_yield(); /* others share this CPU */
            continue;
        }
        for (int i = 0; i < BATCH; i++) {
            vector[i].iov_base = out[i];
            vector[i].iov_len = *argv[7] == 's' ? scan(out[i], argv, sent + i) : garbage(out[i], sent + i);
            messages[i].msg_hdr = (struct msghdr){.msg_iov = &vector[i], .msg_iovlen = 1};
        }
        send_all(s, messages, BATCH);
        sent += BATCH;
        while (recv(s, out[0], DATAGRAM, MSG_DONTWAIT) > 0) /* answers: nobody reads them */
            ;
    }
    printf("sent=%ld seconds=%.6f\n", sent, now() - started);
    return 0;
}
