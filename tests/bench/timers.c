/*
 * Starts and cancels kernel timers that are no TIME_WAIT's.
 *
 *   timers [--seconds S] [--rate N]
 *
 * SO_KEEPALIVE on and off at an established socket arms and deletes its
 * keepalive timer (tcp_set_keepalive): one timer:timer_start and one
 * timer:timer_cancel. timerfd, poll and select would not do: those are
 * hrtimers, which have tracepoints of their own.
 *
 * stdout: one line of JSON; `ns` is CPU time per timer event; flat out unless
 * --rate (events per second) is given.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PAIRS_PER_LOOK 500

static void die(const char *what)
{
	fprintf(stderr, "timers: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double clock_seconds(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static int connected_socket(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	socklen_t length = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM, 0), fd = socket(AF_INET, SOCK_STREAM, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (listener < 0 || fd < 0 || bind(listener, (void *)&address, length) ||
	    listen(listener, 1) || getsockname(listener, (void *)&address, &length) ||
	    connect(fd, (void *)&address, length) || accept(listener, NULL, NULL) < 0)
		die("connect");
	return fd;
}

int main(int argc, char **argv)
{
	static const struct option options[] = { { "seconds", 1, 0, 's' }, { "rate", 1, 0, 'r' }, {} };
	double seconds = 1, rate = 0, began, elapsed = 0, cpu;
	int option, fd, on = 1, off = 0;
	uint64_t events = 0;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
		switch (option) {
		case 's': seconds = atof(optarg); break;
		case 'r': rate = atof(optarg); break;
		default: return 2;
		}
	fd = connected_socket();
	began = clock_seconds(CLOCK_MONOTONIC);
	cpu = clock_seconds(CLOCK_PROCESS_CPUTIME_ID);
	while (elapsed < seconds) {
		for (int i = 0; i < PAIRS_PER_LOOK; i++)
			if (setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on)) ||
			    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &off, sizeof(off)))
				die("SO_KEEPALIVE");
		events += 2 * PAIRS_PER_LOOK;
		elapsed = clock_seconds(CLOCK_MONOTONIC) - began;
		if (rate && events / rate > elapsed)
			usleep((events / rate - elapsed) * 1e6);
	}
	cpu = clock_seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	printf("{\"events\": %llu, \"seconds\": %.4f, \"rate\": %.0f, \"ns\": %.2f}\n",
	       (unsigned long long)events, elapsed, events / elapsed, cpu / events * 1e9);
	return 0;
}
