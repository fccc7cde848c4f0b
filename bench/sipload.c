/* SIP load over loopback: INVITEs out, 200s back.
 *
 *   sipload PROXY PORT CLIENT PORT SECONDS WINDOW RATE SIZE SHAPE
 *
 * At most WINDOW are unanswered at a time and at most RATE a second are sent (0: as fast as answers come).  An INVITE has
 * SIZE bytes (0: as it comes, with SDP; less than 700 is without).  SHAPE is "-" or letters: c, compact names; n, a phone
 * behind NAT, whose Via and Contact name an address that is not its own.
 *
 * Prints one line: sent; got (200s in time); late (answers after the last request's second); bad (answers but 200);
 * lost (never answered, until nothing came for LOST_SECONDS); seconds; the longest time without an answer, the longest
 * that one request waited for its answer, and what 50, 99 and 99.9 % of them waited at most, in microseconds. */
#include "udp.h"

#include <poll.h>
#include <sched.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LOST_SECONDS 0.2
#define REMEMBERED 65536 /* requests whose moment is known: a second's at any rate that a proxy reaches */
#define LONGEST 100000   /* microseconds; who waits longer is counted there */
#define NUMBER "##########" /* where the number of a request stands, in ten digits */
#define PLACES 4
#define FILL_LINE "a=x-fill:%.*s\r\n"
#define HIDDEN "192.168.77.20"

static const char SDP[] =
    "v=0\r\no=alice 53655765 2353687637 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    "m=audio 6000 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n"
    "a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=sendrecv\r\n";

struct load {
    const char *proxy, *client;
    int proxy_port, client_port, socket;
    int size, compact, nat, length;
    int places[PLACES], number_of_places;
    long window, run, sent, got, bad, lost, in_flight;
    double rate, started, last_answer, given_up, longest_gap, longest_delay;
};

static double sent_at[REMEMBERED];
static long waited[LONGEST + 1];
static char requests[BATCH][DATAGRAM];

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

/* An INVITE with so many bytes of filling; its length. */
static int compose(char *out, const struct load *l, int filling) {
    static char fill[DATAGRAM], body[2 * DATAGRAM];
    const char *host = l->nat ? HIDDEN : l->client;
    int c = l->compact, has_body = !l->size || l->size >= 700, in_head = has_body ? 0 : filling, body_length = 0;
    memset(fill, 'x', sizeof fill);
    if (has_body)
        body_length = snprintf(body, sizeof body, filling ? "%s" FILL_LINE : "%s", SDP, filling, fill);
    return snprintf(out, DATAGRAM,
        "INVITE sip:8006@%s:%d SIP/2.0\r\n"
        "%s: SIP/2.0/UDP %s:%d;branch=z9hG4bK-%lx-" NUMBER ";rport\r\n"
        "Max-Forwards: 70\r\n"
        "%s: \"8005\" <sip:8005@%s:%d>;tag=%lx" NUMBER "\r\n"
        "%s: <sip:8006@%s:%d>\r\n"
        "%s: %lx-" NUMBER "@%s\r\n"
        "CSeq: 1 INVITE\r\n"
        "%s: <sip:8005@%s:%d>\r\n"
        "User-Agent: sipload%.*s\r\n"
        "%s%s%s%s%s"
        "%s: %d\r\n\r\n%s",
        l->proxy, l->proxy_port, c ? "v" : "Via", host, l->client_port, l->run, c ? "f" : "From", host, l->client_port,
        l->run, c ? "t" : "To", l->proxy, l->proxy_port, c ? "i" : "Call-ID", l->run, host, c ? "m" : "Contact", host,
        l->client_port, in_head, fill, has_body ? "Allow: INVITE, ACK, CANCEL, OPTIONS, BYE, REFER, NOTIFY\r\n" : "",
        has_body ? (c ? "k" : "Supported") : "", has_body ? ": replaces, timer\r\n" : "",
        has_body ? (c ? "c" : "Content-Type") : "", has_body ? ": application/sdp\r\n" : "",
        c ? "l" : "Content-Length", body_length, has_body ? body : "");
}

/* The requests differ in their numbers only, so they are written once. */
static void prepare(struct load *l) {
    int filling = 0;
    l->length = compose(requests[0], l, 0);
    for (int tries = 0; tries < 4 && l->size && l->length != l->size; tries++) { /* the length is in it too */
        filling += l->size - l->length - (filling || l->size < 700 ? 0 : (int)strlen(FILL_LINE) - 4);
        l->length = compose(requests[0], l, filling > 0 ? filling : 1);
    }
    for (char *at = requests[0]; l->number_of_places < PLACES && (at = strstr(at, NUMBER)); at += strlen(NUMBER))
        l->places[l->number_of_places++] = (int)(at - requests[0]);
    for (int i = 1; i < BATCH; i++)
        memcpy(requests[i], requests[0], l->length);
}

static void number(char *request, const struct load *l, long id) {
    char digits[sizeof NUMBER];
    for (int i = sizeof NUMBER - 2; i >= 0; i--, id /= 10)
        digits[i] = (char)('0' + id % 10);
    for (int i = 0; i < l->number_of_places; i++)
        memcpy(request + l->places[i], digits, strlen(NUMBER));
}

static int may_send(const struct load *l) {
    long room = l->window - l->in_flight;
    if (l->rate > 0) {
        long due = (long)((now() - l->started) * l->rate) - l->sent;
        room = due < room ? due : room;
    }
    return room < 0 ? 0 : room > BATCH ? BATCH : (int)room;
}

static void send_requests(struct load *l, int count) {
    static struct iovec vector[BATCH];
    static struct mmsghdr messages[BATCH];
    for (int i = 0; i < count; i++) {
        sent_at[(l->sent + i) % REMEMBERED] = now();
        number(requests[i], l, l->sent + i);
        vector[i] = (struct iovec){requests[i], l->length};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &vector[i], .msg_iovlen = 1};
    }
    send_all(l->socket, messages, count);
    l->sent += count;
    l->in_flight += count;
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

static void note_delay(struct load *l, double delay) {
    long us = (long)(delay * 1e6);
    waited[us < 0 ? 0 : us > LONGEST ? LONGEST : us]++;
    l->longest_delay = delay > l->longest_delay ? delay : l->longest_delay;
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
        note_delay(l, now() - sent_at[id % REMEMBERED]);
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
        double since = l->last_answer > l->given_up ? l->last_answer : l->given_up;
        if (l->in_flight && now() - since > LOST_SECONDS) {
            l->in_flight = 0; /* others may go; should they be answered after all, they are not lost */
            l->given_up = now();
        }
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

/* What this part of the answers took at most, in microseconds. */
static long delay_of(double part) {
    long all = 0, seen = 0, at = 0;
    for (long i = 0; i <= LONGEST; i++)
        all += waited[i];
    while (at < LONGEST && (seen += waited[at]) < part * all)
        at++;
    return at;
}

int main(int argc, char **argv) {
    if (argc != 10) {
        fprintf(stderr, "usage: sipload PROXY PORT CLIENT PORT SECONDS WINDOW RATE SIZE SHAPE\n");
        return 2;
    }
    struct load l = {.proxy = argv[1], .proxy_port = atoi(argv[2]), .client = argv[3], .client_port = atoi(argv[4]),
        .window = atol(argv[6]), .rate = atof(argv[7]), .size = atoi(argv[8]), .compact = strchr(argv[9], 'c') != NULL,
        .nat = strchr(argv[9], 'n') != NULL};
    l.run = (long)getpid() << 20 ^ (long)(now() * 1e6);
    prepare(&l);
    if (l.length >= DATAGRAM || (l.size && l.length != l.size)) {
        fprintf(stderr, "sipload: an INVITE of %d bytes cannot be made: it would have %d\n", l.size, l.length);
        return 2;
    }
    l.socket = bound_socket(l.client, l.client_port);
    struct sockaddr_in proxy = address(l.proxy, l.proxy_port);
    connect(l.socket, (struct sockaddr *)&proxy, sizeof proxy);
    run(&l, atof(argv[5]));
    double seconds = now() - l.started;
    long late = drain(&l);
    printf("sent=%ld got=%ld late=%ld bad=%ld lost=%ld seconds=%.6f gap_us=%.0f delay_us=%.0f p50_us=%ld p99_us=%ld "
           "p999_us=%ld\n",
        l.sent, l.got, late, l.bad, l.lost, seconds, l.longest_gap * 1e6, l.longest_delay * 1e6, delay_of(.5),
        delay_of(.99), delay_of(.999));
    return 0;
}
