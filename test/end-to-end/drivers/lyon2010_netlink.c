// SPDX-License-Identifier: Apache-2.0
/*
 * A driver of 2010 that listens on netlink, and tries what a socket does: names, sizes, looking ahead, waiting, other
 * families, wrong messages. The card (docs/generic-device.md) sets off what happens to it by stores.
 *
 *	lyon2010_netlink MODE DDDD:BB:DD.F
 *
 * MODE: sockets; waits, until the simulator has ended; remove; suspend, and what it answers: agree, refuse, silent; deaf: it registers for nothing; child: a forked
 * process hears for it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../../abi/lyon2010/vfio2010.h"

#define TAKE_AWAY 0x20
#define SUSPEND 0x24
#define WAIT_MS 60000

struct message {
	struct nlmsghdr header;
	struct genlmsghdr command;
	unsigned char attributes[512];
};

static volatile uint8_t *bar;
static int device;
static uint16_t family;
static uint32_t place[4];

static void check(int good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "lyon2010_netlink: cannot %s: %s\n", what, strerror(errno));
	exit(1);
}

/* --- messages ------------------------------------------------------------------------------------------------------- */

static struct message begin(uint16_t type, uint8_t command, uint16_t flags)
{
	static uint32_t sequence;

	return (struct message){ .header = { NLMSG_LENGTH(GENL_HDRLEN), type, (uint16_t)(NLM_F_REQUEST | flags), ++sequence, 0 },
				 .command = { command, 1, 0 } };
}

static void put(struct message *message, uint16_t type, const void *value, uint16_t bytes)
{
	struct nlattr head = { (uint16_t)(NLA_HDRLEN + bytes), type };
	char *at = (char *)message + message->header.nlmsg_len;

	memcpy(at, &head, sizeof(head));
	memcpy(at + NLA_HDRLEN, value, bytes);
	message->header.nlmsg_len += (uint32_t)NLA_ALIGN(head.nla_len);
}

static void put_place(struct message *message)
{
	uint16_t bus = (uint16_t)place[1];
	uint8_t slot = (uint8_t)place[2], function = (uint8_t)place[3];

	put(message, VFIO_ATTR_PCI_DOMAIN, &place[0], 4);
	put(message, VFIO_ATTR_PCI_BUS, &bus, 2);
	put(message, VFIO_ATTR_PCI_SLOT, &slot, 1);
	put(message, VFIO_ATTR_PCI_FUNC, &function, 1);
}

/* The errno of an answer: 0 for an acknowledgement, -1 for something else. */
static int errno_of(const struct message *answer)
{
	int error;

	if (answer->header.nlmsg_type != NLMSG_ERROR)
		return -1;
	memcpy(&error, &answer->command, sizeof(error));
	return -error;
}

static int ask(int fd, struct message *question)
{
	struct message answer;

	check(send(fd, question, question->header.nlmsg_len, 0) == (ssize_t)question->header.nlmsg_len, "send");
	check(recv(fd, &answer, sizeof(answer), MSG_DONTWAIT) > 0, "have the answer when the question was sent");
	return errno_of(&answer);
}

static uint16_t find_family(int fd, const char *name)
{
	struct message question = begin(GENL_ID_CTRL, CTRL_CMD_GETFAMILY, 0), answer;
	struct nlattr head;

	put(&question, CTRL_ATTR_FAMILY_NAME, name, (uint16_t)(strlen(name) + 1));
	check(send(fd, &question, question.header.nlmsg_len, 0) > 0, "ask for a family");
	check(recv(fd, &answer, sizeof(answer), 0) > 0, "hear about a family");
	if (answer.header.nlmsg_type == NLMSG_ERROR) {
		errno = errno_of(&answer);
		return 0;
	}
	for (char *at = (char *)answer.attributes;; at += NLA_ALIGN(head.nla_len)) {
		memcpy(&head, at, sizeof(head));
		if (head.nla_type == CTRL_ATTR_FAMILY_ID)
			return (uint16_t)((uint8_t)at[4] | (uint8_t)at[5] << 8);
	}
}

static int open_socket(int type)
{
	struct sockaddr_nl address = { .nl_family = AF_NETLINK };
	int fd = socket(AF_NETLINK, type, NETLINK_GENERIC);

	check(fd >= 0, "make a socket");
	check(!bind(fd, (struct sockaddr *)&address, sizeof(address)), "bind it");
	family = find_family(fd, "VFIO");
	check(family != 0, "find the family");
	return fd;
}

static int register_for(int fd, uint64_t wanted)
{
	struct message question = begin(family, VFIO_MSG_REGISTER, NLM_F_ACK);

	put(&question, VFIO_ATTR_MSGCAP, &wanted, sizeof(wanted));
	put_place(&question);
	return ask(fd, &question);
}

static int hear(int fd)
{
	struct pollfd ready = { .fd = fd, .events = POLLIN };
	struct message message;

	check(poll(&ready, 1, WAIT_MS) == 1 && ready.revents == POLLIN, "wait for a message");
	check(recv(fd, &message, sizeof(message), 0) >= (ssize_t)sizeof(message.header), "receive it");
	check(message.header.nlmsg_type == family && message.header.nlmsg_pid == 0, "know the message");
	return message.command.cmd;
}

/* --- the device ------------------------------------------------------------------------------------------------------ */

static void open_device(void)
{
	int iommu = open("/dev/uiommu", O_RDWR);

	device = open("/dev/vfio0", O_RDWR);
	check(device >= 0 && iommu >= 0 && !ioctl(device, VFIO_DOMAIN_SET, &iommu), "open the device");
	bar = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, device, 0);
	check(bar != MAP_FAILED, "map BAR 0");
}

static void store(unsigned int at)
{
	*(volatile uint32_t *)(bar + at) = 1;
}

/* --- what it does ------------------------------------------------------------------------------------------------------ */

static void try_names(int fd)
{
	struct sockaddr_nl name = { 0 }, peer = { 0 }, wanted = { .nl_family = AF_NETLINK, .nl_pid = 4711 };
	socklen_t length = sizeof(name), room = sizeof(peer);
	int other = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_GENERIC), number = 0;
	struct stat status;

	check(!getsockname(fd, (struct sockaddr *)&name, &length), "ask for the name");
	printf("port is the process's: %d, %u bytes\n", name.nl_family == AF_NETLINK && (pid_t)name.nl_pid == getpid(), length);
	check(!getsockname(other, (struct sockaddr *)&name, &length), "ask for the other's name");
	printf("unbound: %u\n", name.nl_pid);
	wanted.nl_pid = (uint32_t)getpid();
	printf("a port that is taken: %d\n", bind(other, (struct sockaddr *)&wanted, sizeof(wanted)) ? errno : 0);
	wanted.nl_pid = 4711;
	printf("half an address: %d\n", bind(other, (struct sockaddr *)&wanted, 6) ? errno : 0);
	check(!bind(other, (struct sockaddr *)&wanted, sizeof(wanted)), "bind at a port");
	check(!getsockname(other, (struct sockaddr *)&name, &length), "ask for the other's name");
	printf("bound: %u\n", name.nl_pid);
	check(!getpeername(fd, (struct sockaddr *)&peer, &room), "ask for the peer");
	printf("peer: family %u, port %u\n", peer.nl_family == AF_NETLINK, peer.nl_pid);
	length = sizeof(number);
	check(!getsockopt(fd, SOL_SOCKET, SO_TYPE, &number, &length), "ask for the type");
	printf("type: %d\n", number == SOCK_RAW);
	number = 1 << 17;
	check(!setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &number, sizeof(number)), "set a buffer");
	check(!setsockopt(fd, SOL_NETLINK, NETLINK_PKTINFO, &number, sizeof(number)), "ask for packet information");
	check(!fstat(fd, &status), "fstat");
	printf("a socket: %d\n", S_ISSOCK(status.st_mode));
	printf("seek: %d\n", lseek(fd, 0, SEEK_CUR) < 0 ? errno : 0);
	wanted.nl_pid = 9;
	printf("to nobody: %d\n", sendto(other, "", 0, 0, (struct sockaddr *)&wanted, sizeof(wanted)) < 0 ? errno : 0);
	close(other);
}

static void try_messages(int fd)
{
	struct message question = begin(family, 99, 0), answer;
	struct sockaddr_nl from = { 0 };
	struct iovec pieces[2] = { { &question, 10 }, { (char *)&question + 10, 10 } };
	struct msghdr sent = { .msg_iov = pieces, .msg_iovlen = 2 }, got = { .msg_name = &from, .msg_namelen = sizeof(from) };
	struct iovec into = { &answer, sizeof(answer) };
	uint64_t nothing = 0;
	socklen_t length = sizeof(from);

	printf("family nl80211: %d\n", find_family(fd, "nl80211") ? 0 : errno);
	printf("unknown command: %d\n", ask(fd, &question));
	question.header.nlmsg_type = 0x4321;
	printf("unknown type: %d\n", ask(fd, &question));
	printf("wanting nothing: %d\n", register_for(fd, nothing));
	place[2]++;
	printf("of no device: %d\n", register_for(fd, 2));
	place[2]--;

	/* In two pieces, looked at first, received in a small buffer, and gone with it. */
	check(sendmsg(fd, &sent, 0) == 20, "send two pieces");
	printf("full length: %zd\n", recv(fd, &answer, 4, MSG_PEEK | MSG_TRUNC));
	into.iov_len = 18;
	got.msg_iov = &into;
	got.msg_iovlen = 1;
	printf("cut: %zd", recvmsg(fd, &got, 0));
	printf(", said so: %d, from the kernel: %d\n", got.msg_flags == MSG_TRUNC, from.nl_family == AF_NETLINK && !from.nl_pid);
	printf("gone: %d\n", recv(fd, &answer, sizeof(answer), MSG_DONTWAIT) < 0 ? errno : 0);

	check(syscall(SYS_sendto, fd, &question, 20, 0, NULL, 0) == 20, "send by a system call");
	check(syscall(SYS_recvfrom, fd, &answer, sizeof(answer), 0, &from, &length) > 20, "receive by a system call");
	check(writev(fd, pieces, 2) == 20, "write");
	printf("read: %d\n", read(fd, &answer, sizeof(answer)) > 20 && errno_of(&answer) == ENOENT);
	printf("not a request: ");
	question.header.nlmsg_flags = 0;
	check(send(fd, &question, 20, 0) == 20, "send");
	printf("%d\n", recv(fd, &answer, sizeof(answer), MSG_DONTWAIT) < 0 ? errno : 0);
	printf("a bad address: %d\n", send(fd, (void *)8, 20, 0) < 0 ? errno : 0);
	question.header.nlmsg_flags = NLM_F_REQUEST;
	check(send(fd, &question, 20, 0) == 20, "send");
	printf("into a bad address: %d\n", recv(fd, (void *)8, 20, 0) < 0 ? errno : 0);
}

/* Where the kernel says EFAULT, it is no crash; what was to be received is gone. */
static void try_bad_addresses(int fd)
{
	struct message question = begin(family, 99, 0), answer;
	struct sockaddr_nl name;
	struct iovec piece = { &question, question.header.nlmsg_len };
	void *volatile nowhere = (void *)8;
	struct mmsghdr *fixed = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	socklen_t length = sizeof(name), *fixed_length = (socklen_t *)((char *)fixed + 1024);
	struct msghdr many = { .msg_iov = &piece, .msg_iovlen = 1025 };

	check(fixed != MAP_FAILED, "map a page");
	*fixed_length = sizeof(name);
	fixed->msg_hdr = (struct msghdr){ .msg_iov = &piece, .msg_iovlen = 1 };
	check(!mprotect(fixed, 4096, PROT_READ), "protect it");
#define ERRNO(call) ((call) < 0 ? errno : 0)
	printf("nowhere: %d", ERRNO(getsockname(fd, nowhere, &length)));
	printf(" %d", ERRNO(getsockname(fd, (struct sockaddr *)&name, nowhere)));
	printf(" %d", ERRNO(getpeername(fd, nowhere, &length)));
	printf(" %d\n", ERRNO(getsockopt(fd, SOL_SOCKET, SO_TYPE, nowhere, &length)));
	printf("read-only: %d", ERRNO(getsockname(fd, (struct sockaddr *)&name, fixed_length)));
	printf(" %d\n", ERRNO(getpeername(fd, (struct sockaddr *)fixed, &length)));

	printf("too many pieces: %d", ERRNO(sendmsg(fd, &many, 0)));
	many.msg_iovlen = (1ul << 32) + 1;
	printf(" %d", ERRNO(sendmsg(fd, &many, 0)));
	printf(" %d\n", ERRNO(recvmsg(fd, &many, MSG_DONTWAIT)));

	printf("sent, and not said so: %d\n", ERRNO(sendmmsg(fd, fixed, 1, 0)));
	piece = (struct iovec){ &answer, sizeof(answer) };
	printf("received, and not said so: %d", ERRNO(recvmsg(fd, &fixed->msg_hdr, 0)));
	check(send(fd, &question, question.header.nlmsg_len, 0) > 0, "send");
	printf(" %d", ERRNO(recvmmsg(fd, fixed, 1, 0, NULL)));
	many = (struct msghdr){ .msg_iov = &piece, .msg_iovlen = 1, .msg_name = nowhere, .msg_namelen = sizeof(name) };
	check(send(fd, &question, question.header.nlmsg_len, 0) > 0, "send");
	printf(" %d", ERRNO(recvmsg(fd, &many, 0)));
	check(send(fd, &question, question.header.nlmsg_len, 0) > 0, "send");
	printf(" %d\n", ERRNO(recvfrom(fd, &answer, sizeof(answer), 0, nowhere, &length)));
	printf("all gone: %d\n", ERRNO(recv(fd, &answer, sizeof(answer), MSG_DONTWAIT)));
	munmap(fixed, 4096);
}

static void try_waiting(int fd)
{
	struct message question = begin(GENL_ID_CTRL, CTRL_CMD_GETFAMILY, NLM_F_DUMP), answer;
	struct epoll_event event = { .events = EPOLLIN };
	int epoll = epoll_create1(0), copy = dup(fd), families = 0, route = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
	struct timeval limit = { .tv_usec = 1000 };

	check(!epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event), "wait by epoll");
	printf("quiet: %d\n", epoll_wait(epoll, &event, 1, 0));
	check(send(copy, &question, question.header.nlmsg_len, 0) > 0, "send by a copy");
	printf("ready: %d\n", epoll_wait(epoll, &event, 1, 0));
	do {
		check(recv(fd, &answer, sizeof(answer), 0) > 0, "receive all parts");
		families += answer.header.nlmsg_type == GENL_ID_CTRL;
	} while (answer.header.nlmsg_type != NLMSG_DONE);
	printf("families: %d\n", families);
	check(!setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)), "set a time limit");
	printf("timed out: %d\n", recv(fd, &answer, sizeof(answer), 0) < 0 ? errno : 0);
	check(!fcntl(fd, F_SETFL, O_NONBLOCK), "not wait");
	printf("empty: %d\n", recv(fd, &answer, sizeof(answer), 0) < 0 ? errno : 0);
	printf("another protocol is the machine's: %d\n", route < 0 || lseek(route, 0, SEEK_SET) < 0);
	close(copy);
	close(epoll);
}

static void answer_suspend(int fd, uint32_t reply)
{
	struct message answer = begin(family, VFIO_MSG_PM_SUSPEND_REPLY, NLM_F_ACK);

	put(&answer, VFIO_ATTR_PM_SUSPEND_REPLY, &reply, sizeof(reply));
	put_place(&answer);
	check(send(fd, &answer, answer.header.nlmsg_len, 0) > 0, "answer");
}

int main(int argc, char **argv)
{
	const uint64_t all = 1u << VFIO_MSG_REMOVE | 1u << VFIO_MSG_PM_SUSPEND | 1u << VFIO_MSG_PM_RESUME;
	const char *mode = argv[1];
	struct message answer;
	int fd, status;

	if (argc != 3 || sscanf(argv[2], "%x:%x:%x.%x", &place[0], &place[1], &place[2], &place[3]) != 4)
		return 2;
	setvbuf(stdout, NULL, _IOLBF, 0);
	fd = open_socket(SOCK_RAW | SOCK_CLOEXEC);
	if (strcmp(mode, "sockets") == 0) {
		try_names(fd);
		try_messages(fd);
		try_bad_addresses(fd);
		try_waiting(fd);
		return 0;
	}
	if (strcmp(mode, "waits") == 0) {
		printf("waiting\n");
		printf("the simulator has ended: %d\n", recv(fd, &answer, sizeof(answer), 0) < 0 ? errno : 0);
		printf("sending: %d\n", send(fd, &answer, sizeof(answer.header), 0) < 0 ? errno : 0);
		return 0;
	}
	if (strcmp(mode, "deaf") != 0)
		check(register_for(fd, all) == 0, "register");
	open_device();
	if (strcmp(mode, "remove") == 0 || strcmp(mode, "deaf") == 0) {
		store(TAKE_AWAY);
		if (strcmp(mode, "remove") == 0)
			printf("heard: %d\n", hear(fd) == VFIO_MSG_REMOVE);
		usleep(20000); /* what the store set off comes after it */
		printf("no further opens: %d\n", open("/dev/vfio0", O_RDWR) < 0 ? errno : 0);
		printf("it is there until it is closed: %d\n", *(volatile uint32_t *)(bar + TAKE_AWAY) == 1);
	} else if (strcmp(mode, "child") == 0) {
		pid_t child = fork();

		if (child == 0)
			_exit(hear(fd) == VFIO_MSG_REMOVE ? 0 : 1);
		store(TAKE_AWAY);
		check(waitpid(child, &status, 0) == child, "wait for the child");
		printf("the child heard: %d\n", WIFEXITED(status) && WEXITSTATUS(status) == 0);
	} else {
		store(SUSPEND);
		printf("heard: %d\n", hear(fd) == VFIO_MSG_PM_SUSPEND);
		if (strcmp(mode, "silent") != 0) {
			answer_suspend(fd, strcmp(mode, "refuse") == 0 ? 0x8002 /* NOTIFY_BAD */ : 0);
			/* Its acknowledgement, and PM_RESUME, in either order. */
			check(recv(fd, &answer, sizeof(answer), 0) > 0, "receive");
			status = answer.header.nlmsg_type == family && answer.command.cmd == VFIO_MSG_PM_RESUME;
			check(recv(fd, &answer, sizeof(answer), 0) > 0, "receive");
			status |= answer.header.nlmsg_type == family && answer.command.cmd == VFIO_MSG_PM_RESUME;
			printf("and was woken: %d\n", status);
		} else {
			printf("and was woken: %d\n", hear(fd) == VFIO_MSG_PM_RESUME);
		}
	}
	munmap((void *)bar, 4096);
	close(device);
	close(fd);
	return 0;
}
