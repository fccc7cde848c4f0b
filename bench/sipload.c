/* SIP load over loopback: INVITEs with SDP out, 200s back.
 *
 *   sipload PROXY PORT CLIENT PORT SECONDS WINDOW RATE
 *
 * At most WINDOW are unanswered at a time and at most RATE a second are sent (0: as fast as answers come).
 *
 * Prints one line: sent; got (200s in time); late (answers after the last request's second); bad (answers but 200);
 * lost (never answered, until nothing came for LOST_SECONDS); seconds; the longest time without an answer, and the
 * longest that one request waited for its answer, in microseconds. */
#include "udp.h"

#include <poll.h>
#include <sched.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LOST_SECONDS 0.2
#define REMEMBERED 65536 /* requests whose moment is known: a second's at any rate that a proxy reaches */

static const char SDP[] =
    "v=0\r\no=alice 53655765 2353687637 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    "m=audio 6000 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n"
    "a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=sendrecv\r\n";

struct load {
    const char *proxy, *client;
    int proxy_port, client_port, socket;
    long window, run, sent, got, bad, lost, in_flight;
    double rate, started, last_answer, longest_gap, longest_delay;
};

static double sent_at[REMEMBERED];

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static int make_invite(char *out, const struct load *l, long id) {
    return snprintf(out, DATAGRAM,
        "INVITE sip:8006@%s:%d SIP/2.0\r\n"
        "Via: SIP/2.0/UDP %s:%d;branch=z9hG4bK-%lx-%ld;rport\r\n"
        "Max-Forwards: 70\r\n"
        "From: \"8005\" <sip:8005@%s:%d>;tag=%lx%ld\r\n"
        "To: <sip:8006@%s:%d>\r\n"
        "Call-ID: %lx-%ld@%s\r\n"
        "CSeq: 1 INVITE\r\n"
        "Contact: <sip:8005@%s:%d>\r\n"
        "User-Agent: sipload\r\n"
        "Allow: INVITE, ACK, CANCEL, OPTIONS, BYE, REFER, NOTIFY\r\n"
        "Supported: replaces, timer\r\n"
        "Content-Type: application/sdp\r\n"
        "Content-Length: %zu\r\n\r\n%s",
        l->proxy, l->proxy_port, l->client, l->client_port, l->run, id, l->client, l->client_port, l->run, id,
        l->proxy, l->proxy_port, l->run, id, l->client, l->client, l->client_port, sizeof SDP - 1, SDP);
}

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
        sent_at[(l->sent + i) % REMEMBERED] = now();
        vector[i] = (struct iovec){out[i], make_invite(out[i], l, l->sent + i)};
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

/* The number of the request that an answer of this run belongs to, -1 for one of an earlier run. */
static long request_of(const struct load *l, const char *answer, size_t length) {
    char branch[64];
    int size = snprintf(branch, sizeof branch, "branch=z9hG4bK-%lx-", l->run);
    const char *at = memmem(answer, length, branch, size), *end = answer + length;
    if (!at)
        return -1;
    long id = 0;
    for (at += size; at < end && *at >= '0' && *at <= '9'; at++)
        id = 10 * id + (*at - '0');
    return id;
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
        long id = request_of(l, in[i], messages[i].msg_len);
        if (id < 0)
            continue;
        double delay = now() - sent_at[id % REMEMBERED];
        l->longest_delay = delay > l->longest_delay ? delay : l->longest_delay;
        if (!memcmp(in[i], "SIP/2.0 200", 11))
            l->got++;
        else if (l->bad++ == 0)
            fprintf(stderr, "not a 200: %.*s\n", (int)strcspn(in[i], "\r\n"), in[i]);
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
        if (l->in_flight && now() - l->last_answer > LOST_SECONDS)
            l->in_flight = 0; /* others may go; should they be answered after all, they are not lost */
    }
    note_gap(l);
}

/* What is still on its way when the time is over cost the proxy as much, but belongs to no rate. */
static long drain(struct load *l) {
    struct load after = *l;
    while (after.got + after.bad < after.sent && now() < after.last_answer + LOST_SECONDS)
        if (!receive_answers(&after))
            sched_yield();
    l->lost = l->sent - after.got - after.bad;
    l->longest_delay = after.longest_delay;
    return after.got - l->got;
}

int main(int argc, char **argv) {
    if (argc != 8) {
        fprintf(stderr, "usage: sipload PROXY PORT CLIENT PORT SECONDS WINDOW RATE\n");
        return 2;
    }
    struct load l = {.proxy = argv[1], .proxy_port = atoi(argv[2]), .client = argv[3], .client_port = atoi(argv[4]),
        .window = atol(argv[6]), .rate = atof(argv[7])};
    l.run = (long)getpid() << 20 ^ (long)(now() * 1e6);
    l.socket = bound_socket(l.client, l.client_port);
    struct sockaddr_in proxy = address(l.proxy, l.proxy_port);
    connect(l.socket, (struct sockaddr *)&proxy, sizeof proxy);
    run(&l, atof(argv[5]));
    double seconds = now() - l.started;
    long late = drain(&l);
    printf("sent=%ld got=%ld late=%ld bad=%ld lost=%ld seconds=%.6f gap_us=%.0f delay_us=%.0f\n", l.sent, l.got, late, l.bad,
        l.lost, seconds, l.longest_gap * 1e6, l.longest_delay * 1e6);
    return 0;
}
