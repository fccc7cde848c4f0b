/* Closed-loop SIP load over loopback: client -> proxy -> destinations -> proxy -> client, all but the proxy in here.
 *
 *   sipload PROXY PORT CLIENT PORT DESTINATIONS PORT COUNT SECONDS WINDOW RATE
 *
 * The client sends INVITEs with SDP, at most WINDOW unanswered at a time and at most RATE a second (0: as fast as
 * answers come).  The COUNT destinations are the addresses that follow DESTINATIONS (127.1.0.0: 127.1.0.1 ...), all on
 * PORT.  They share one wildcard socket, so that a batch is a batch however many they are, and each answers from the
 * address it was asked at.  A 200 is the request with another first line: what the proxy has to read is in it.
 *
 * Prints one line: sent; got (200s in time); late (answers after the last request's second); bad (answers but 200);
 * lost (unanswered for LOST_SECONDS while nothing else came); seconds; the longest gap between two answers in
 * microseconds; the requests of the first and of the busiest destination; how many destinations got any. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH 64
#define DATAGRAM 4096
#define CONTROL CMSG_SPACE(sizeof(struct in_pktinfo))
#define MAX_DESTINATIONS 65536
#define SOCKET_BUFFER (8 << 20)
#define LOST_SECONDS 0.2

static volatile int stopping;
static uint32_t first_destination; /* host byte order */
static int destinations;
static long requests[MAX_DESTINATIONS];

static const char SDP[] =
    "v=0\r\no=alice 53655765 2353687637 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    "m=audio 6000 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n"
    "a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=sendrecv\r\n";

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static struct sockaddr_in address(const char *host, int port) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    if (inet_pton(AF_INET, host, &a.sin_addr) != 1) {
        fprintf(stderr, "sipload: not an IPv4 address: %s\n", host);
        exit(2);
    }
    return a;
}

static int bound_socket(struct sockaddr_in a) {
    int s = socket(AF_INET, SOCK_DGRAM, 0), size = SOCKET_BUFFER;
    setsockopt(s, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
    setsockopt(s, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size);
    if (bind(s, (struct sockaddr *)&a, sizeof a)) {
        perror("sipload: bind");
        exit(2);
    }
    return s;
}

static void send_all(int s, struct mmsghdr *messages, int count) {
    for (int done = 0; done < count;) {
        int sent = sendmmsg(s, messages + done, count - done, 0);
        if (sent > 0)
            done += sent;
        else if (errno != ECONNREFUSED) /* the proxy's port was closed a moment ago: an old error, not this send's */
            return;
    }
}

/* The destinations: count each request and send it back as a 200. */

static void count(struct msghdr *header) {
    struct in_pktinfo *to = (struct in_pktinfo *)CMSG_DATA(CMSG_FIRSTHDR(header));
    uint32_t index = ntohl(to->ipi_addr.s_addr) - first_destination;
    if (index < (uint32_t)destinations)
        requests[index]++;
    to->ipi_spec_dst = to->ipi_addr; /* as the source of the answer; the control message goes back as it came */
    to->ipi_ifindex = 0;
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

static void *answer(void *socket_) {
    static char in[BATCH][DATAGRAM], out[BATCH][DATAGRAM + 32], control[BATCH][CONTROL];
    static struct sockaddr_in source[BATCH];
    struct mmsghdr received[BATCH], replies[BATCH];
    struct iovec in_vector[BATCH], out_vector[BATCH];
    int s = *(int *)socket_;
    while (!stopping) {
        struct pollfd readable = {s, POLLIN, 0};
        if (poll(&readable, 1, 100) <= 0)
            continue;
        for (int i = 0; i < BATCH; i++) {
            in_vector[i] = (struct iovec){in[i], DATAGRAM};
            received[i].msg_hdr = (struct msghdr){.msg_name = &source[i], .msg_namelen = sizeof source[i],
                .msg_iov = &in_vector[i], .msg_iovlen = 1, .msg_control = control[i], .msg_controllen = CONTROL};
        }
        int got = recvmmsg(s, received, BATCH, MSG_DONTWAIT, NULL), ready = 0;
        for (int i = 0; i < got; i++) {
            int length = make_reply(out[i], in[i], received[i].msg_len);
            if (!length)
                continue;
            count(&received[i].msg_hdr);
            out_vector[ready] = (struct iovec){out[i], length};
            replies[ready].msg_hdr = received[i].msg_hdr;
            replies[ready].msg_hdr.msg_iov = &out_vector[ready];
            ready++;
        }
        send_all(s, replies, ready);
    }
    return NULL;
}

/* The client. */

static int make_invite(char *out, const char *proxy, int proxy_port, const char *client, int port, long run, long id) {
    return snprintf(out, DATAGRAM,
        "INVITE sip:8006@%s:%d SIP/2.0\r\nVia: SIP/2.0/UDP %s:%d;branch=z9hG4bK-%lx-%ld;rport\r\nMax-Forwards: 70\r\n"
        "From: \"8005\" <sip:8005@%s:%d>;tag=%lx%ld\r\nTo: <sip:8006@%s:%d>\r\nCall-ID: %lx-%ld@%s\r\nCSeq: 1 INVITE\r\n"
        "Contact: <sip:8005@%s:%d>\r\nUser-Agent: sipload\r\nAllow: INVITE, ACK, CANCEL, OPTIONS, BYE, REFER, NOTIFY\r\n"
        "Supported: replaces, timer\r\nContent-Type: application/sdp\r\nContent-Length: %zu\r\n\r\n%s",
        proxy, proxy_port, client, port, run, id, client, port, run, id, proxy, proxy_port, run, id, client, client,
        port, sizeof SDP - 1, SDP);
}

struct load {
    const char *proxy, *client;
    int proxy_port, client_port, socket;
    long window, run, sent, got, bad, lost, in_flight;
    double rate, started, last_answer, longest_gap;
};

static int may_send(const struct load *l) {
    long room = l->window - l->in_flight;
    if (l->rate > 0) {
        long due = (long)((now() - l->started) * l->rate) - l->sent;
        room = due < room ? due : room;
    }
    return room < 0 ? 0 : room > BATCH ? BATCH : (int)room;
}

static void send_requests(struct load *l, int number) {
    static char out[BATCH][DATAGRAM];
    static struct iovec vector[BATCH];
    static struct mmsghdr messages[BATCH];
    for (int i = 0; i < number; i++) {
        int length =
            make_invite(out[i], l->proxy, l->proxy_port, l->client, l->client_port, l->run, l->sent + i);
        vector[i] = (struct iovec){out[i], length};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &vector[i], .msg_iovlen = 1};
    }
    send_all(l->socket, messages, number);
    l->sent += number;
    l->in_flight += number;
}

static void note_gap(struct load *l) {
    double gap = now() - l->last_answer;
    if (gap > l->longest_gap)
        l->longest_gap = gap;
}

static int receive_answers(struct load *l) {
    static char in[BATCH][DATAGRAM];
    static struct iovec vector[BATCH];
    static struct mmsghdr messages[BATCH];
    for (int i = 0; i < BATCH; i++) {
        vector[i] = (struct iovec){in[i], DATAGRAM};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &vector[i], .msg_iovlen = 1};
    }
    int number = recvmmsg(l->socket, messages, BATCH, MSG_DONTWAIT, NULL);
    if (number <= 0)
        return 0;
    for (int i = 0; i < number; i++) {
        if (!memcmp(in[i], "SIP/2.0 200", 11))
            l->got++;
        else if (l->bad++ == 0)
            fprintf(stderr, "sipload: not a 200: %.200s\n", in[i]);
    }
    l->in_flight = number > l->in_flight ? 0 : l->in_flight - number;
    note_gap(l);
    l->last_answer = now();
    return number;
}

static void run(struct load *l, double seconds) {
    l->started = l->last_answer = now();
    while (now() < l->started + seconds) {
        int room = may_send(l);
        if (room)
            send_requests(l, room);
        if (receive_answers(l))
            continue;
        if (l->rate > 0)
            sched_yield(); /* the destinations share this CPU */
        else if (!room) {
            struct pollfd readable = {l->socket, POLLIN, 0};
            poll(&readable, 1, 1);
        }
        if (l->in_flight && now() - l->last_answer > LOST_SECONDS) {
            l->lost += l->in_flight;
            l->in_flight = 0;
        }
    }
    note_gap(l);
}

/* What is still on its way when the time is over cost the proxy as much, but belongs to no rate. */
static long drain(struct load *l) {
    struct load after = *l;
    for (double until = now() + LOST_SECONDS; after.in_flight && now() < until;)
        receive_answers(&after);
    l->lost += after.in_flight;
    return l->in_flight - after.in_flight;
}

int main(int argc, char **argv) {
    if (argc != 11) {
        fprintf(stderr, "usage: sipload PROXY PORT CLIENT PORT DESTINATIONS PORT COUNT SECONDS WINDOW RATE\n");
        return 2;
    }
    first_destination = ntohl(address(argv[5], 0).sin_addr.s_addr) + 1;
    destinations = atoi(argv[7]);
    if (destinations < 1 || destinations > MAX_DESTINATIONS) {
        fprintf(stderr, "sipload: 1 to %d destinations, not %s\n", MAX_DESTINATIONS, argv[7]);
        return 2;
    }
    int answering = bound_socket(address("0.0.0.0", atoi(argv[6]))), on = 1;
    setsockopt(answering, IPPROTO_IP, IP_PKTINFO, &on, sizeof on);
    pthread_t thread;
    pthread_create(&thread, NULL, answer, &answering);

    struct load l = {.proxy = argv[1], .proxy_port = atoi(argv[2]), .client = argv[3], .client_port = atoi(argv[4]),
        .window = atol(argv[9]), .rate = atof(argv[10])};
    l.run = (long)getpid() << 20 ^ (long)(now() * 1e6);
    l.socket = bound_socket(address(l.client, l.client_port));
    struct sockaddr_in proxy = address(l.proxy, l.proxy_port);
    connect(l.socket, (struct sockaddr *)&proxy, sizeof proxy);
    run(&l, atof(argv[8]));
    double seconds = now() - l.started;
    long late = drain(&l);
    stopping = 1;
    pthread_join(thread, NULL);

    long busiest = 0, reached = 0;
    for (int i = 0; i < destinations; i++) {
        busiest = requests[i] > busiest ? requests[i] : busiest;
        reached += requests[i] > 0;
    }
    printf("sent=%ld got=%ld late=%ld bad=%ld lost=%ld seconds=%.6f gap_us=%.0f first=%ld busiest=%ld reached=%ld\n",
        l.sent, l.got, late, l.bad, l.lost, seconds, l.longest_gap * 1e6, requests[0], busiest, reached);
    return 0;
}
