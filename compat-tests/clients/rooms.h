/* A minimal client of the rooms dialect in C99 with POSIX sockets: this header is all of it.
 *
 * A game includes it and calls what it needs; with -DROOMS_MAIN (cc -x c -DROOMS_MAIN -o rooms rooms.h) it is a program:
 *
 *   rooms SERVER PORT host NAME     open a room, and play with one who joins
 *   rooms SERVER PORT join NAME     find that room, play, come back at another port, play again
 *
 * SERVER may be several, separated by commas: when one does not answer, the next is asked.
 *
 * What players say to each other is theirs to choose; here it is what rooms.py says: `knock` and `here` for the
 * punch, `say:TEXT`, answered `heard:TEXT`, and `bye`, answered `bye`. */
#ifndef ROOMS_H
#define ROOMS_H
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include <netdb.h>
#include <netinet/in.h>
#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    PATIENCE = 20000, /* milliseconds for each step, with all that may get lost */
    AGAIN = 500,      /* a request without an answer is sent again */
    KNOCK = 100,      /* between two knocks */
    ALIVE = 10000,    /* between two signs of life */
    WATCH = 2000,     /* the same where there is another server, to see soon whether this one is gone */
    TRIES = 4,        /* so many packets without an answer, and the next server is asked */
    SERVERS = 16,     /* addresses of servers that are tried */
    LONGEST = 1500,   /* the longest line of the server has 1200 bytes */
    FIELDS = 64,      /* a page has fewer rooms */
    PEERS = 64        /* a room has no more clients */
};

/* A packet, cut into its fields. */
typedef struct { char text[LONGEST + 1]; char *field[FIELDS]; int count; struct sockaddr_in from; } Packet;

/* A peer: its ID ("" for the host), where the server says it is, where it is, whether it has answered. */
typedef struct { char id[17]; struct sockaddr_in told, at; int used, met; } Peer;

/* One UDP socket for the server and the peers: who sent a packet tells what it is. */
typedef struct {
    int socket, servers, is_host; /* there are so many servers */
    struct sockaddr_in server, all[SERVERS]; /* that which is asked, and all in turn */
    char id[17], key[33], room[17];
    Peer peers[PEERS];
} Player;

static long long rooms_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

static int rooms_fail(const char *why, const char *what) {
    fprintf(stderr, "%s %s\n", why, what);
    exit(1);
}

static int rooms_same(const struct sockaddr_in *a, const struct sockaddr_in *b) {
    return a->sin_addr.s_addr == b->sin_addr.s_addr && a->sin_port == b->sin_port;
}

static void rooms_open_socket(Player *p) {
    if (p->socket > 0) close(p->socket);
    p->socket = socket(AF_INET, SOCK_DGRAM, 0); /* the first send binds it */
    if (p->socket < 0) rooms_fail("no", "socket");
}

/* Adds the addresses of SERVER,SERVER. One kind of address in all we do: IPv4. A name may have several. */
static void rooms_add_servers(Player *p, const char *names, const char *port) {
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_DGRAM}, *info;
    char name[256];
    for (int length; (length = (int)strcspn(names, ",")) > 0; names += length + (names[length] == ',')) {
        snprintf(name, sizeof name, "%.*s", length, names);
        if (getaddrinfo(name, port, &hints, &info)) { /* It may be the name of a server that is gone. */
            fprintf(stderr, "no address of %s; leaving it out\n", name);
            continue;
        }
        for (struct addrinfo *one = info; one && p->servers < SERVERS; one = one->ai_next)
            memcpy(&p->all[p->servers++], one->ai_addr, sizeof p->server);
        freeaddrinfo(info);
    }
    if (!p->servers) rooms_fail("no server", "has an address");
    p->server = p->all[0];
}

/* Asks the next server from now on. If there is only one, that is asked again. */
static void rooms_next_server(Player *p) {
    memmove(p->all, p->all + 1, sizeof *p->all * (size_t)(p->servers - 1));
    p->all[p->servers - 1] = p->server;
    p->server = p->all[0];
}

static void rooms_send(Player *p, const struct sockaddr_in *to, const char *text, size_t length) {
    /* What does not arrive is sent again. */
    if (sendto(p->socket, text, length, 0, (const struct sockaddr *)to, sizeof *to) < 0) return;
}

static void rooms_say(Player *p, const struct sockaddr_in *to, const char *text) {
    rooms_send(p, to, text, strlen(text));
}

static void rooms_cut(Packet *packet) {
    packet->count = 0;
    for (char *at = packet->text; at && packet->count < FIELDS;) {
        packet->field[packet->count++] = at;
        at = strchr(at, ':');
        if (at) *at++ = 0;
    }
}

/* The next packet; 0 if nothing comes until then. */
static int rooms_receive(Player *p, Packet *packet, long long until) {
    struct pollfd poller = {p->socket, POLLIN, 0};
    long long left = until - rooms_now();
    if (poll(&poller, 1, left > 0 ? (int)left : 1) <= 0) return 0;
    socklen_t size = sizeof packet->from;
    ssize_t length = recvfrom(p->socket, packet->text, LONGEST, 0, (struct sockaddr *)&packet->from, &size);
    if (length < 0) return 0;
    packet->text[length] = 0;
    rooms_cut(packet);
    return 1;
}

/* %3A is a colon; in its place, as it gets no longer. */
static char *rooms_decode(char *text) {
    char *to = text;
    for (char *from = text; *from; from++) {
        unsigned code;
        if (*from == '%' && sscanf(from + 1, "%2x", &code) == 1) *to++ = (char)code, from += 2;
        else *to++ = *from;
    }
    *to = 0;
    return text;
}

static void rooms_encode(char *to, size_t space, const char *text) {
    for (; *text && space > 4; text++) {
        int plain = !strchr("%:,", *text) && (unsigned char)*text >= 32;
        int n = snprintf(to, space, plain ? "%c" : "%%%02X", (unsigned char)*text);
        to += n, space -= (size_t)n;
    }
    *to = 0;
}

static struct sockaddr_in rooms_endpoint(char *ip, const char *port) {
    struct sockaddr_in at = {0};
    at.sin_family = AF_INET;
    at.sin_port = htons((unsigned short)atoi(port));
    inet_pton(AF_INET, rooms_decode(ip), &at.sin_addr);
    return at;
}

/* Knocks at a peer, unless it is the same as before. */
static void rooms_meet(Player *p, const char *id, struct sockaddr_in at, int anew) {
    Peer *free_one = 0, *peer = 0;
    for (Peer *one = p->peers; one < p->peers + PEERS; one++) {
        if (one->used && !strcmp(one->id, id)) peer = one;
        if (!one->used && !free_one) free_one = one;
    }
    if (peer && rooms_same(&peer->told, &at) && !anew) return;
    if (!peer) peer = free_one;
    if (!peer) return;
    *peer = (Peer){.told = at, .at = at, .used = 1};
    snprintf(peer->id, sizeof peer->id, "%s", id);
}

/* What the server tells of peers: it may come more than once. */
static void rooms_note(Player *p, Packet *packet) {
    char **field = packet->field;
    if ((!strcmp(field[0], "cj") || !strcmp(field[0], "ep")) && packet->count == 4)
        rooms_meet(p, p->is_host ? field[1] : "", rooms_endpoint(field[2], field[3]), 0);
    else if (!strcmp(field[0], "cl") && packet->count == 2)
        for (Peer *one = p->peers; one < p->peers + PEERS; one++)
            if (!strcmp(one->id, field[1])) one->used = 0;
}

/* Sends a request, of so many bytes, until an answer with this verb has come, and if `own` is there that with our ID,
 * in whatever order. 0: the server does not know the place to which one comes back. */
static int rooms_ask(Player *p, const char *request, size_t length, const char *verb, Packet *answer, Packet *own) {
    long long end = rooms_now() + PATIENCE, again = 0;
    int has_answer = 0, has_own = !own, tries = 0;
    Packet packet;
    while (rooms_now() < end) {
        if (rooms_now() >= again) {
            if (tries++ == TRIES) rooms_next_server(p), has_answer = 0, has_own = !own, tries = 1;
            rooms_send(p, &p->server, request, length);
            again = rooms_now() + AGAIN;
        }
        if (!rooms_receive(p, &packet, again) || !rooms_same(&packet.from, &p->server)) continue;
        if (!strcmp(packet.field[0], "er") && packet.count == 3 && !strncmp(request, packet.field[1], strlen(packet.field[1])))
            return strncmp(request, "rc:", 3) || strcmp(packet.field[2], "noroom") ? rooms_fail("refused:", packet.field[2]) : 0;
        int is_answer = !strcmp(packet.field[0], verb), is_own = own && !strcmp(packet.field[0], "rID");
        /* others may have asked for a place in its name */
        if (is_own && !strncmp(request, "rc:", 3) && (packet.count < 2 || strcmp(packet.field[1], p->id))) continue;
        if (is_answer || is_own) { /* its fields point into it, so a copy is cut anew */
            Packet *to = is_answer ? answer : own;
            *to = packet;
            for (int n = 0; n < packet.count; n++) to->field[n] = to->text + (packet.field[n] - packet.text);
        }
        has_answer |= is_answer, has_own |= is_own;
        if (!is_answer && !is_own) rooms_note(p, &packet);
        if (has_answer && has_own) return 1;
    }
    return rooms_fail("no answer to", request);
}

/* Hosts or joins, or comes back if there is no request, and shows the key. 0: the server knows of no such place. */
static int rooms_take_place(Player *p, const char *request, const char *verb, Packet *answer) {
    Packet own;
    char again[64];
    snprintf(again, sizeof again, "rc:%s:%s", p->id, p->key);
    if (!request && !*p->id) return 0;
    request = request ? request : again;
    if (!rooms_ask(p, request, strlen(request), verb, answer, &own)) return 0;
    while (own.count != 3 || strcmp(p->id, own.field[1]) || strcmp(p->key, own.field[2])) {
        if (own.count != 3) rooms_fail("no key in", own.text);
        snprintf(p->id, sizeof p->id, "%s", own.field[1]), snprintf(p->key, sizeof p->key, "%s", own.field[2]);
        snprintf(again, sizeof again, "rc:%s:%s", p->id, p->key);
        if (!rooms_ask(p, again, strlen(again), verb, answer, &own)) return 0;
    }
    snprintf(p->room, sizeof p->room, "%s", answer->field[1]);
    if (!p->is_host && answer->count >= 5) rooms_meet(p, "", rooms_endpoint(answer->field[3], answer->field[4]), 1);
    return 1;
}

#define OWN "d.app=minimal" /* own data of the rooms of this client, and what it looks for */

/* Finds an open room of this client by its name: its ID, or 0. A page carries no ID of its request: one at a time. */
static int rooms_find(Player *p, const char *name, char room[17]) {
    char request[512] = "rl:free:" OWN; /* filled up, it is answered with a full page */
    Packet page;
    for (;;) {
        rooms_ask(p, request, sizeof request, "rl", &page, 0);
        for (int n = 1; n < page.count; n++) {
            char id[17], its[256], status[16];
            if (sscanf(page.field[n], "%16[0-9a-f],%255[^,],%15[^,]", id, its, status) != 3) continue;
            snprintf(room, 17, "%s", id);
            if (!strcmp(rooms_decode(its), name) && !strcmp(status, "open")) return 1;
        }
        if (page.field[page.count - 1][0] != '+') return 0;
        memset(request, 0, sizeof request);
        snprintf(request, sizeof request, "rl:%.16s:free:" OWN, page.field[page.count - 1] + 1);
    }
}

/* A peer has answered: the server may be told that the punch worked. */
static void rooms_met(Player *p, const struct sockaddr_in *from) {
    char text[64];
    for (Peer *one = p->peers; one < p->peers + PEERS; one++) {
        /* Its NAT may have given it another port towards us. */
        if (!one->used || one->met || one->at.sin_addr.s_addr != from->sin_addr.s_addr) continue;
        one->at = *from, one->met = 1;
        snprintf(text, sizeof text, "pc:%.16s:ok:%s", p->is_host ? one->id : p->id, p->key);
        rooms_say(p, &p->server, text);
    }
}

/* Keeps in touch until a packet begins with `verb`, and goes on with `text` if that is there. Says something to all whom
 * it has met, again and again, as any packet may get lost. 0: the server has forgotten this host, or is gone. */
static int rooms_play(Player *p, const char *verb, const char *text, const char *say) {
    int every = p->servers > 1 ? WATCH : ALIVE, tries = 0, has_moved = 0;
    long long end = rooms_now() + PATIENCE, knock = 0, alive = rooms_now() + every;
    char reply[LONGEST], heard[256] = "";
    Packet packet;
    while (rooms_now() < end) {
        if (rooms_now() >= alive) {
            if (tries++ == TRIES && p->servers > 1) {
                rooms_next_server(p);
                if (p->is_host) return 0;
                /* Where several servers are one the place is ours still, if the room is not gone as well. */
                tries = has_moved = 1;
            }
            snprintf(reply, sizeof reply, "%s:%s", has_moved ? "jr" : "ka", has_moved ? p->room : p->key);
            rooms_say(p, &p->server, reply), alive = rooms_now() + AGAIN;
        }
        if (rooms_now() >= knock) {
            for (Peer *one = p->peers; one < p->peers + PEERS; one++)
                if (one->used && (!one->met || say)) rooms_say(p, &one->at, one->met ? say : "knock");
            knock = rooms_now() + KNOCK;
        }
        if (!rooms_receive(p, &packet, knock)) continue;
        const char *word = packet.field[0], *rest = packet.count > 1 ? packet.field[1] : "";
        if (!strcmp(word, verb) && (!text || !strcmp(rest, text))) return 1;
        if (p->is_host && packet.count == 3 && !strcmp(rest, "ka") && !strcmp(packet.field[2], "noroom")) return 0;
        if (rooms_same(&packet.from, &p->server)) rooms_note(p, &packet), tries = has_moved = 0, alive = rooms_now() + every;
        else if (!strcmp(word, "knock")) rooms_say(p, &packet.from, "here");
        else if (!strcmp(word, "here")) rooms_met(p, &packet.from);
        else if (!strcmp(word, "bye") && !(say && !strcmp(say, "bye"))) rooms_say(p, &packet.from, "bye");
        else if (!strcmp(word, "say")) {
            snprintf(reply, sizeof reply, "heard:%.255s", rest);
            rooms_say(p, &packet.from, reply);
            if (strcmp(heard, reply + 6)) printf("heard %s\n", reply + 6), fflush(stdout);
            snprintf(heard, sizeof heard, "%.255s", rest);
        }
    }
    return rooms_fail("the peer does not say", verb);
}

#ifdef ROOMS_MAIN
/* Finds the room of this name, and joins it. */
static void rooms_enter(Player *p, const char *name, Packet *answer) {
    char room[17], request[32];
    for (long long end = rooms_now() + PATIENCE; !rooms_find(p, name, room); poll(0, 0, AGAIN))
        if (rooms_now() > end) rooms_fail("there is no room", name);
    snprintf(request, sizeof request, "jr:%s", room);
    rooms_take_place(p, request, "jr", answer);
}

int main(int argc, char **argv) {
    Player p = {0};
    Packet answer;
    char request[600], name[512];
    if (argc != 5) rooms_fail("see the first lines of", "rooms.h");
    rooms_add_servers(&p, argv[1], argv[2]);
    rooms_open_socket(&p);
    if (!strcmp(argv[3], "host")) {
        p.is_host = 1;
        rooms_encode(name, sizeof name, argv[4]);
        snprintf(request, sizeof request, "rh:%s:" OWN, name);
        do {
            if (!rooms_take_place(&p, 0, "rh", &answer)) rooms_take_place(&p, request, "rh", &answer);
            printf("open %s\n", answer.field[1]), fflush(stdout);
        } while (!rooms_play(&p, "cl", 0, 0)); /* until then its `bye` may have to be answered */
        rooms_ask(&p, request, snprintf(request, sizeof request, "cr:%s", p.key), "cr", &answer, 0);
    } else {
        rooms_enter(&p, argv[4], &answer);
        rooms_play(&p, "heard", "hello", "say:hello");
        /* Another socket has another port, as after a new start: the place is still ours. */
        rooms_open_socket(&p);
        if (!rooms_take_place(&p, 0, "jr", &answer)) rooms_enter(&p, argv[4], &answer);
        rooms_play(&p, "heard", "back again", "say:back again");
        rooms_play(&p, "bye", 0, "bye");
        rooms_ask(&p, request, snprintf(request, sizeof request, "lr:%s", p.key), "lr", &answer, 0);
    }
    puts("all is well");
    return 0;
}
#endif
#endif
