// SPDX-License-Identifier: Apache-2.0
/*
 * How the first VFIO tells a driver that its device is to be taken away, or that the machine is to sleep: messages of the generic
 * netlink family "VFIO", for which a driver registers (the later versions of 2010). With libnl this is genl_ctrl_resolve and
 * nl_recvmsgs; here it is spelled out.
 */
#include "lyon2010.h"

#include <errno.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../abi/lyon2010/vfio2010.h"

#define ROOM 1024
/* Linux's NOTIFY_DONE: nothing against it. */
#define MAY_SLEEP 0u

struct message {
	struct nlmsghdr header;
	struct genlmsghdr command;
	uint8_t attributes[ROOM];
};

static uint32_t sequence;

static struct message begin(uint16_t family, uint8_t command, uint8_t version)
{
	return (struct message){
		.header = { .nlmsg_len = NLMSG_LENGTH(GENL_HDRLEN), .nlmsg_type = family, .nlmsg_flags = NLM_F_REQUEST,
			    .nlmsg_seq = ++sequence },
		.command = { .cmd = command, .version = version },
	};
}

static void put(struct message *message, uint16_t type, const void *value, uint16_t bytes)
{
	struct nlattr head = { .nla_len = (uint16_t)(NLA_HDRLEN + bytes), .nla_type = type };
	uint8_t *at = (uint8_t *)message + message->header.nlmsg_len;

	memcpy(at, &head, sizeof(head));
	memcpy(at + NLA_HDRLEN, value, bytes);
	message->header.nlmsg_len += (uint32_t)NLA_ALIGN(head.nla_len);
}

/* The value of an attribute; NULL when there is none, or one that is too short. */
static const void *get(const struct message *message, uint16_t type, uint16_t bytes)
{
	const uint8_t *at = message->attributes, *end = (const uint8_t *)message + message->header.nlmsg_len;
	struct nlattr head;

	while (end - at >= NLA_HDRLEN) {
		memcpy(&head, at, sizeof(head));
		if (head.nla_len < NLA_HDRLEN || head.nla_len > end - at)
			return NULL;
		if ((head.nla_type & NLA_TYPE_MASK) == type && head.nla_len >= NLA_HDRLEN + bytes)
			return at + NLA_HDRLEN;
		at += NLA_ALIGN(head.nla_len) < end - at ? NLA_ALIGN(head.nla_len) : end - at;
	}
	return NULL;
}

/* False, and errno, when there is none (EAGAIN), or when it is the error of something that was asked. */
static bool receive(int socket, struct message *message, int flags)
{
	ssize_t length = recv(socket, message, sizeof(*message), flags);
	int error;

	if (length < 0)
		return false;
	errno = EPROTO;
	if (length < NLMSG_HDRLEN + (ssize_t)sizeof(error) || message->header.nlmsg_len > length)
		return false;
	if (message->header.nlmsg_type != NLMSG_ERROR)
		return true;
	memcpy(&error, &message->command, sizeof(error));
	errno = -error;
	return error == 0;
}

static bool ask(int socket, struct message *question, struct message *answer)
{
	return send(socket, question, question->header.nlmsg_len, 0) == (ssize_t)question->header.nlmsg_len &&
	       receive(socket, answer, 0);
}

static void put_device(struct message *message, const struct vfio *vfio)
{
	put(message, VFIO_ATTR_PCI_DOMAIN, &vfio->place.domain, sizeof(vfio->place.domain));
	put(message, VFIO_ATTR_PCI_BUS, &vfio->place.bus, sizeof(vfio->place.bus));
	put(message, VFIO_ATTR_PCI_SLOT, &vfio->place.slot, sizeof(vfio->place.slot));
	put(message, VFIO_ATTR_PCI_FUNC, &vfio->place.function, sizeof(vfio->place.function));
}

void lyon_listen(struct vfio *vfio, const char *bdf)
{
	const uint64_t wanted = 1u << VFIO_MSG_REMOVE | 1u << VFIO_MSG_PM_SUSPEND | 1u << VFIO_MSG_PM_RESUME;
	struct sockaddr_nl address = { .nl_family = AF_NETLINK };
	struct message question = begin(GENL_ID_CTRL, CTRL_CMD_GETFAMILY, 1), answer;
	unsigned int domain, bus, slot, function;
	const uint16_t *family;

	errno = EINVAL;
	check(sscanf(bdf, "%x:%x:%x.%x", &domain, &bus, &slot, &function) == 4, "understand the device's address");
	vfio->place.domain = domain;
	vfio->place.bus = (uint16_t)bus;
	vfio->place.slot = (uint8_t)slot;
	vfio->place.function = (uint8_t)function;

	vfio->netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);
	check(vfio->netlink >= 0 && bind(vfio->netlink, (struct sockaddr *)&address, sizeof(address)) == 0,
	      "make a netlink socket");
	put(&question, CTRL_ATTR_FAMILY_NAME, VFIO_GENL_NAME, sizeof(VFIO_GENL_NAME));
	check(ask(vfio->netlink, &question, &answer), "find the netlink family of VFIO");
	family = get(&answer, CTRL_ATTR_FAMILY_ID, sizeof(*family));
	errno = EPROTO;
	check(family != NULL, "understand the answer about VFIO's netlink family");
	memcpy(&vfio->netlink_family, family, sizeof(*family));

	question = begin(vfio->netlink_family, VFIO_MSG_REGISTER, 1);
	question.header.nlmsg_flags |= NLM_F_ACK;
	put(&question, VFIO_ATTR_MSGCAP, &wanted, sizeof(wanted));
	put_device(&question, vfio);
	check(ask(vfio->netlink, &question, &answer), "register for what happens to the device");
}

bool lyon_is_wanted_back(const struct vfio *vfio)
{
	const uint32_t reply = MAY_SLEEP;
	struct message message, answer;

	while (receive(vfio->netlink, &message, MSG_DONTWAIT)) {
		switch (message.command.cmd) {
		case VFIO_MSG_REMOVE:
			printf("the device is to be taken away\n");
			return true;
		case VFIO_MSG_PM_SUSPEND: /* no command is under way: nothing is lost */
			printf("the machine is to sleep\n");
			answer = begin(vfio->netlink_family, VFIO_MSG_PM_SUSPEND_REPLY, 1);
			put(&answer, VFIO_ATTR_PM_SUSPEND_REPLY, &reply, sizeof(reply));
			put_device(&answer, vfio);
			check(send(vfio->netlink, &answer, answer.header.nlmsg_len, 0) > 0, "let the machine sleep");
			break;
		default:
			break;
		}
	}
	check(errno == EAGAIN || errno == EINTR, "hear what happens to the device");
	return false;
}
