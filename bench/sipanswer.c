/* All destinations of a list in one: each request comes back as a 200.
 *
 *   sipanswer NETWORK PORT COUNT [SWALLOW]
 *
 * The destinations are the COUNT addresses that follow NETWORK (127.1.0.0: 127.1.0.1 ...), all on PORT.  They share one
 * wildcard socket, so that a batch is a batch however many they are, and each answers from the address it was asked at.
 * A 200 is the request with another first line: the proxy has its own Via and Record-Route to read in it.
 *
 * For each line on standard input it prints the requests of the first and of the busiest destination and how many
 * destinations got any; of all together the requests, the OPTIONS with which a proxy probes (they are no requests of the
 * others), how many of those came a second time, and how many of all were answered; and counts anew.  The SWALLOWth
 * request after such a line is counted and not answered.  The end of its input ends it. */
#include "udp.h"

#include <poll.h>
#include <string.h>
#include <unistd.h>

#define CONTROL CMSG_SPACE(sizeof(struct in_pktinfo))
#define MAX_COUNT 65536

static uint32_t first_address; /* host byte order */
static int destinations;
static long requests[MAX_COUNT], probes, again, answered, swallow, until_swallow;
static uint64_t last_probe[MAX_COUNT];

/* FNV-1a of the whole: two probes of a proxy differ, and one that is sent again does not. */
static uint64_t digest(const char *bytes, int length) {
    uint64_t sum = 14695981039346656037U;
    for (int i = 0; i < length; i++)
        sum = (sum ^ (unsigned char)bytes[i]) * 1099511628211U;
    return sum;
}

/* Whether it is to be answered. */
static int count(struct msghdr *header, const char *request, int length) {
    struct in_pktinfo *to = (struct in_pktinfo *)CMSG_DATA(CMSG_FIRSTHDR(header));
    uint32_t index = ntohl(to->ipi_addr.s_addr) - first_address;
    to->ipi_spec_dst = to->ipi_addr; /* the source of the answer: the control message goes back as it came */
    to->ipi_ifindex = 0;
    if (index >= (uint32_t)destinations)
        return 1;
    if (length < 8 || memcmp(request, "OPTIONS ", 8)) {
        requests[index]++;
        return !until_swallow || --until_swallow;
    }
    uint64_t probe = digest(request, length);
    if (probe == last_probe[index])
        again++;
    last_probe[index] = probe;
    probes++;
    return 1;
}

static int make_reply(char *out, const char *request, int length) {
    static const char STATUS[] = "SIP/2.0 200 OK\r\n";
    const char *line_end = memchr(request, '\n', length);
    if (!line_end)
        return 0;
    int rest = length - (line_end + 1 - request);
    memcpy(out, STATUS, sizeof STATUS - 1);
    memcpy(out + sizeof STATUS - 1, line_end + 1, rest);
    return sizeof STATUS - 1 + rest;
}

static void answer_batch(int s) {
    static char in[BATCH][DATAGRAM], out[BATCH][DATAGRAM + 32], control[BATCH][CONTROL];
    static struct sockaddr_in source[BATCH];
    static struct mmsghdr received[BATCH], replies[BATCH];
    static struct iovec in_vector[BATCH], out_vector[BATCH];
    for (int i = 0; i < BATCH; i++) {
        in_vector[i] = (struct iovec){in[i], DATAGRAM};
        received[i].msg_hdr = (struct msghdr){.msg_name = &source[i], .msg_namelen = sizeof source[i],
            .msg_iov = &in_vector[i], .msg_iovlen = 1, .msg_control = control[i], .msg_controllen = CONTROL};
    }
    int got = recvmmsg(s, received, BATCH, MSG_DONTWAIT, NULL), ready = 0;
    for (int i = 0; i < got; i++) {
        int length = make_reply(out[i], in[i], received[i].msg_len);
        if (!length || !count(&received[i].msg_hdr, in[i], received[i].msg_len))
            continue;
        out_vector[ready] = (struct iovec){out[i], length};
        replies[ready].msg_hdr = received[i].msg_hdr;
        replies[ready].msg_hdr.msg_iov = &out_vector[ready];
        ready++;
    }
    answered += send_all(s, replies, ready);
}

static void report(void) {
    long busiest = 0, reached = 0, all = 0;
    for (int i = 0; i < destinations; i++) {
        all += requests[i];
        busiest = requests[i] > busiest ? requests[i] : busiest;
        reached += requests[i] > 0;
    }
    printf("first=%ld busiest=%ld reached=%ld requests=%ld probes=%ld again=%ld answered=%ld\n", requests[0], busiest,
        reached, all, probes, again, answered);
    fflush(stdout);
    probes = again = answered = 0;
    until_swallow = swallow;
    memset(requests, 0, sizeof requests);
}

int main(int argc, char **argv) {
    if (argc != 4 && argc != 5) {
        fprintf(stderr, "usage: sipanswer NETWORK PORT COUNT [SWALLOW]\n");
        return 2;
    }
    first_address = ntohl(address(argv[1], 0).sin_addr.s_addr) + 1;
    destinations = atoi(argv[3]);
    swallow = argc == 5 ? atol(argv[4]) : 0;
    if (destinations < 1 || destinations > MAX_COUNT) {
        fprintf(stderr, "sipanswer: 1 to %d destinations, not %s\n", MAX_COUNT, argv[3]);
        return 2;
    }
    int s = bound_socket("0.0.0.0", atoi(argv[2])), on = 1;
    setsockopt(s, IPPROTO_IP, IP_PKTINFO, &on, sizeof on);
    struct pollfd ready[2] = {{s, POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}};
    for (;;) {
        if (poll(ready, 2, -1) < 0)
            continue;
        if (ready[0].revents)
            answer_batch(s);
        if (ready[1].revents) {
            char line[64];
            if (read(STDIN_FILENO, line, sizeof line) <= 0)
                return 0;
            report();
        }
    }
}
