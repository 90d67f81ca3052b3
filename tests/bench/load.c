/*
 * Opens and closes TCP connections on loopback as fast as the machine can.
 *
 *   load --mode server|client|abort|burst|web|mixed [--workers N] [--seconds S]
 *        [--count N] [--rate N] [--log FILE]
 *
 * server, client   that side closes first; each worker is both ends of its
 *                  connections, so that no time goes into context switches
 * abort            the client resets (SO_LINGER 0)
 * burst            opens --count connections, then closes them all at once:
 *                  their TIME_WAITs end within a few ticks of the timer wheel
 * web              client and server processes; a request, a reply, then the
 *                  server closes
 * mixed            the same with all of the endings, IPv4 and IPv6, and many
 *                  more addresses
 *
 * Run it in a network namespace of its own with `lo` up (and, for mixed,
 * `ip -6 route add local fd00::/64 dev lo`). Destinations are 127.0.0.0/8 and
 * fd00::/64, changed from connection to connection, so that ports do not run
 * out while TIME_WAITs hold them.
 *
 * --rate: at most so many connections/s (server, client and abort only).
 * stdout: one line of JSON. --log: one struct entry per connection made.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FIRST_PORT 700 /* below the ephemeral ports */
#define MIXED_PORT 800
#define ADDRESSES 4096 /* destinations per worker */
#define MOST_WORKERS 64
#define MIXED_SERVERS 12
#define MIXED_CLIENTS 36
#define REQUEST 120 /* bytes; the first one is the command */
#define REPLY 1000
#define COMMAND_CLIENT 'C'
#define COMMAND_SERVER 'S'
#define COMMAND_ABORT 'A'

/* What --log holds: who was connected, and which side ended it. */
struct entry {
	uint8_t client_address[16]; /* IPv4 as ::ffff:a.b.c.d */
	uint8_t server_address[16];
	uint16_t client_port;
	uint16_t server_port;
	uint8_t ending; /* COMMAND_* */
	uint8_t pad[3];
};

struct shared {
	uint64_t made[256];
	uint64_t ready;	/* workers that have got as far as the others must wait for */
	uint64_t stop;
};

static struct shared *shared;
static const char *mode = "server", *log_path;
static double seconds = 5, rate;
static uint64_t count = UINT64_MAX;
static int workers = 2;

static void die(const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

/* Buffered by stdio; each worker writes a file of its own. */
static FILE *open_log(int worker)
{
	char path[4096];
	FILE *file;

	if (!log_path)
		return NULL;
	snprintf(path, sizeof(path), "%s.%d", log_path, worker);
	file = fopen(path, "wb");
	if (!file)
		die(path);
	setvbuf(file, NULL, _IOFBF, 1 << 20);
	return file;
}

static void map_address(uint8_t *to, const struct sockaddr_storage *from, uint16_t *port)
{
	const struct sockaddr_in *v4 = (const void *)from;
	const struct sockaddr_in6 *v6 = (const void *)from;

	if (from->ss_family == AF_INET6) {
		memcpy(to, &v6->sin6_addr, 16);
		*port = ntohs(v6->sin6_port);
	} else {
		memset(to, 0, 10);
		memset(to + 10, 0xff, 2);
		memcpy(to + 12, &v4->sin_addr, 4);
		*port = ntohs(v4->sin_port);
	}
}

static void log_connection(FILE *log, const struct sockaddr_storage *client,
			   const struct sockaddr_storage *server, uint8_t ending)
{
	struct entry entry = { .ending = ending };

	if (!log)
		return;
	map_address(entry.client_address, client, &entry.client_port);
	map_address(entry.server_address, server, &entry.server_port);
	fwrite(&entry, sizeof(entry), 1, log);
}

static void set_abort(int fd)
{
	struct linger linger = { .l_onoff = 1, .l_linger = 0 };

	if (setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)))
		die("SO_LINGER");
}

static int listen_on(int family, uint16_t port)
{
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
	struct sockaddr_storage address = { .ss_family = family };

	((struct sockaddr_in *)&address)->sin_port = htons(port);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
	    bind(fd, (void *)&address,
		 family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6)) ||
	    listen(fd, 4096))
		die("listen");
	return fd;
}

static struct sockaddr_in loopback(int worker, uint64_t n, uint16_t port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };

	address.sin_addr.s_addr =
		htonl(127u << 24 | (1u + worker) << 16 | (1 + n % ADDRESSES));
	return address;
}

/* Both ends of one connection; on loopback connect() returns with the child
 * already in the accept queue. */
static void connect_pair(int listener, const struct sockaddr_in *to, int *client, int *server,
			 struct sockaddr_storage *peer)
{
	socklen_t length = sizeof(*peer);

	*client = socket(AF_INET, SOCK_STREAM, 0);
	if (*client < 0 || connect(*client, (const void *)to, sizeof(*to)))
		die("connect");
	*server = accept(listener, (void *)peer, &length);
	if (*server < 0)
		die("accept");
}

static void pace(double until)
{
	double ahead = until - now();

	if (ahead > 0)
		usleep(ahead * 1e6);
}

static void churn(int worker, FILE *log)
{
	uint16_t port = FIRST_PORT + worker;
	int listener = listen_on(AF_INET, port), client, server;
	uint64_t n, mine = count == UINT64_MAX ? count : count / workers;
	double began = now(), end = began + seconds;
	struct sockaddr_storage peer;
	uint8_t ending = !strcmp(mode, "server") ? COMMAND_SERVER :
			 !strcmp(mode, "client") ? COMMAND_CLIENT : COMMAND_ABORT;

	for (n = 0; n < mine && ((n % 64 && !rate) || now() < end); n++) {
		struct sockaddr_in to = loopback(worker, n, port);

		connect_pair(listener, &to, &client, &server, &peer);
		if (ending == COMMAND_ABORT)
			set_abort(client);
		if (ending == COMMAND_SERVER) {
			close(server);
			close(client);
		} else {
			close(client);
			close(server);
		}
		log_connection(log, &peer, (void *)&to, ending);
		if (rate)
			pace(began + (n + 1) * workers / rate);
	}
	shared->made[worker] = n;
	close(listener);
}

static void wait_ready(uint64_t wanted)
{
	while (__atomic_load_n(&shared->ready, __ATOMIC_ACQUIRE) < wanted)
		usleep(1000);
}

/* All open first; then, when every worker is there, all closed. */
static void burst(int worker, FILE *log)
{
	uint16_t port = FIRST_PORT + worker;
	int listener = listen_on(AF_INET, port);
	uint64_t n, mine = count / workers;
	int (*pairs)[2] = calloc(mine, sizeof(*pairs));
	struct sockaddr_storage peer;

	if (!pairs)
		die("calloc");
	for (n = 0; n < mine; n++) {
		struct sockaddr_in to = loopback(worker, n, port);

		connect_pair(listener, &to, &pairs[n][0], &pairs[n][1], &peer);
		log_connection(log, &peer, (void *)&to, COMMAND_SERVER);
	}
	__sync_fetch_and_add(&shared->ready, 1);
	wait_ready(workers);
	for (n = 0; n < mine; n++) {
		close(pairs[n][1]);
		close(pairs[n][0]);
	}
	shared->made[worker] = mine;
	close(listener);
}

static void finish_served(int fd, char command)
{
	static const char reply[REPLY];
	char rest[REPLY];

	if (command == COMMAND_SERVER)
		send(fd, reply, sizeof(reply), MSG_NOSIGNAL);
	else
		while (read(fd, rest, sizeof(rest)) > 0)
			;
	close(fd);
}

/* The first byte of a request says how the connection is to end. */
static void serve(uint16_t port, FILE *log)
{
	struct sockaddr_storage peer, local;
	char request[REQUEST];
	socklen_t length;
	struct pollfd listener = { .fd = listen_on(AF_INET6, port), .events = POLLIN };

	__sync_fetch_and_add(&shared->ready, 1);
	for (;;) {
		/* Clients do not wait for the server to accept: some may be in the queue. */
		int last = __atomic_load_n(&shared->stop, __ATOMIC_ACQUIRE), fd;

		if (poll(&listener, 1, last ? 0 : 50) <= 0) {
			if (last)
				break;
			continue;
		}
		length = sizeof(peer);
		fd = accept(listener.fd, (void *)&peer, &length);
		if (fd < 0)
			die("accept");
		length = sizeof(local);
		if (getsockname(fd, (void *)&local, &length))
			die("getsockname");
		if (read(fd, request, sizeof(request)) != sizeof(request))
			die("a client sent too little");
		log_connection(log, &peer, &local, request[0]);
		finish_served(fd, request[0]);
	}
}

static void ask(int worker, unsigned *seed)
{
	int mixed = !strcmp(mode, "mixed"), on = 1, v6 = mixed && rand_r(seed) % 3 == 0, fd;
	uint16_t port = MIXED_PORT + rand_r(seed) % MIXED_SERVERS;
	char rest[REPLY], request[REQUEST] = { mixed ? "CCCSSSSA"[rand_r(seed) % 8] : 'S' };
	struct sockaddr_in to = loopback(100 + rand_r(seed) % 16, rand_r(seed) % 300, port);
	struct sockaddr_in from = loopback(50, worker, 0);
	struct sockaddr_in6 to6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };

	if (v6) {
		to6.sin6_addr.s6_addr[0] = 0xfd;
		to6.sin6_addr.s6_addr[14] = 1 + rand_r(seed) % 16;
		to6.sin6_addr.s6_addr[15] = rand_r(seed);
		fd = socket(AF_INET6, SOCK_STREAM, 0);
		if (fd < 0 || connect(fd, (void *)&to6, sizeof(to6)))
			die("connect IPv6 (ip -6 route add local fd00::/64 dev lo)");
	} else {
		fd = socket(AF_INET, SOCK_STREAM, 0);
		/* A source address of its own, its port chosen by connect(). */
		if (fd < 0 ||
		    setsockopt(fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on)) ||
		    bind(fd, (void *)&from, sizeof(from)) ||
		    connect(fd, (void *)&to, sizeof(to)))
			die("connect");
	}
	if (send(fd, request, sizeof(request), MSG_NOSIGNAL) != sizeof(request))
		die("send");
	if (request[0] == COMMAND_SERVER)
		while (read(fd, rest, sizeof(rest)) > 0)
			;
	if (request[0] == COMMAND_ABORT)
		set_abort(fd);
	close(fd);
}

static void request_all(int worker)
{
	static const char *const names[] = { "curl", "nginx", "envoy", "postgres", "python3",
					     "java", "prometheus", "node", "redis-cli" };
	char name[16];
	unsigned seed = worker;
	uint64_t n, mine = count == UINT64_MAX ? count : count / MIXED_CLIENTS;
	double end = now() + seconds;

	snprintf(name, sizeof(name), "%s-%d", names[worker % 9], worker);
	prctl(PR_SET_NAME, name);
	for (n = 0; n < mine && now() < end; n++)
		ask(worker, &seed);
	shared->made[worker] = n;
}

static pid_t start(int worker, void (*work)(int, FILE *))
{
	pid_t pid = fork();
	FILE *log;

	if (pid < 0)
		die("fork");
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	log = open_log(worker);
	work(worker, log);
	if (log && fclose(log))
		die("log");
	_exit(0);
}

static void client(int worker, FILE *log)
{
	(void)log;
	request_all(worker);
}

static void server(int worker, FILE *log)
{
	char name[16];

	worker -= MIXED_CLIENTS;
	snprintf(name, sizeof(name), "service-%d", worker);
	prctl(PR_SET_NAME, name);
	serve(MIXED_PORT + worker, log);
}

static int wait_for(pid_t *pids, int n)
{
	int failed = 0, status;

	for (int i = 0; i < n; i++)
		if (waitpid(pids[i], &status, 0) < 0 || status)
			failed = 1;
	return failed;
}

static int run_processes(void)
{
	pid_t servers[MIXED_SERVERS], clients[MIXED_CLIENTS];
	int failed;

	for (int i = 0; i < MIXED_SERVERS; i++)
		servers[i] = start(MIXED_CLIENTS + i, server);
	wait_ready(MIXED_SERVERS);
	for (int i = 0; i < MIXED_CLIENTS; i++)
		clients[i] = start(i, client);
	failed = wait_for(clients, MIXED_CLIENTS);
	__atomic_store_n(&shared->stop, 1, __ATOMIC_RELEASE);
	return wait_for(servers, MIXED_SERVERS) | failed;
}

static void parse(int argc, char **argv)
{
	static const struct option options[] = {
		{ "mode", 1, 0, 'm' }, { "workers", 1, 0, 'w' }, { "seconds", 1, 0, 's' },
		{ "count", 1, 0, 'c' },	{ "rate", 1, 0, 'r' },	  { "log", 1, 0, 'l' },
		{},
	};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
		switch (option) {
		case 'm': mode = optarg; break;
		case 'w': workers = atoi(optarg); break;
		case 's': seconds = atof(optarg); break;
		case 'c': count = strtoull(optarg, NULL, 10); break;
		case 'r': rate = atof(optarg); break;
		case 'l': log_path = optarg; break;
		default: exit(2);
		}
	if (!strstr(" server client abort burst web mixed ", mode) || workers < 1 || workers > MOST_WORKERS ||
	    (!strcmp(mode, "burst") && count == UINT64_MAX)) {
		fprintf(stderr, "load: wrong usage; see the head of load.c\n");
		exit(2);
	}
}

/* A burst holds all its sockets: as many workers as the file limit asks for. */
static void allow_many_files(void)
{
	struct rlimit files;
	uint64_t each;

	if (getrlimit(RLIMIT_NOFILE, &files))
		die("RLIMIT_NOFILE");
	files.rlim_cur = files.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &files))
		die("RLIMIT_NOFILE");
	each = (files.rlim_max - 16) / 2;
	if ((uint64_t)workers < (count + each - 1) / each)
		workers = (count + each - 1) / each;
	if (workers > MOST_WORKERS) {
		fprintf(stderr, "load: ulimit -n allows %llu connections\n",
			(unsigned long long)each * MOST_WORKERS);
		exit(1);
	}
}

int main(int argc, char **argv)
{
	uint64_t made = 0;
	pid_t pids[MOST_WORKERS];
	int failed;
	double began;

	parse(argc, argv);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		      -1, 0);
	if (shared == MAP_FAILED)
		die("mmap");
	if (!strcmp(mode, "burst"))
		allow_many_files();
	began = now();
	if (!strcmp(mode, "mixed") || !strcmp(mode, "web")) {
		failed = run_processes();
	} else {
		for (int i = 0; i < workers; i++)
			pids[i] = start(i, strcmp(mode, "burst") ? churn : burst);
		failed = wait_for(pids, workers);
	}
	for (int i = 0; i < 256; i++)
		made += shared->made[i];
	printf("{\"mode\": \"%s\", \"connections\": %llu, \"seconds\": %.4f, \"rate\": %.0f}\n",
	       mode, (unsigned long long)made, now() - began, made / (now() - began));
	return failed;
}
