/* SPDX-License-Identifier: GPL-2.0 */
/* Sockets by family, type and protocol; those of AF_UNIX by address and peer as well. */
#ifndef ACCESS_SOCKETS_BPF_H
#define ACCESS_SOCKETS_BPF_H

#define FAMILY_UNIX 1
#define UNIX_ADDRESS_MOST 108
#define UNIX_HEAD 2 /* sun_family */

static __always_inline bool is_unix(struct sock___seen *sock)
{
	return BPF_CORE_READ(sock, __sk_common.skc_family) == FAMILY_UNIX;
}

static __always_inline __u32 slot_of_sock(struct sock___seen *sock)
{
	return table_find(BPF_CORE_READ(sock, sk_cgrp_data.cgroup, kn, id));
}

/*
 * An address of `length` bytes, without its family: abstract ones begin with NUL and are
 * taken whole, paths end at their NUL.
 */
static __noinline int take_address(__u32 which, __u32 text, const void *address, __u32 length)
{
	struct scratch *s = scratch_at(which);
	long got;

	if (!s || text > TEXT_TARGET || length <= UNIX_HEAD)
		return 0;
	length -= UNIX_HEAD;
	if (length > UNIX_ADDRESS_MOST)
		length = UNIX_ADDRESS_MOST;
	s->text[text][0] = 1;
	bpf_probe_read_kernel(s->text[text], 1, address + UNIX_HEAD);
	if (!s->text[text][0]) {
		got = bpf_probe_read_kernel(s->text[text], length & 127, address + UNIX_HEAD);
		s->access.length[text] = got ? 0 : length & 127;
		return 0;
	}
	got = bpf_probe_read_kernel_str(s->text[text], (length & 127) + 1, address + UNIX_HEAD);
	s->access.length[text] = got > 0 ? got - 1 : 0;
	return 0;
}

/* Of a bound socket of AF_UNIX: its file, or else its abstract name. */
static __noinline int take_own_address(__u32 which, __u32 text, struct sock___seen *sock)
{
	struct unix_sock___seen *unix_sock = (void *)sock;
	struct unix_address___seen *address = BPF_CORE_READ(unix_sock, addr);
	struct scratch *s = scratch_at(which);
	struct dentry___seen *entry = BPF_CORE_READ(unix_sock, path.dentry);

	if (!s || !address || text > TEXT_TARGET)
		return 0;
	if (entry) {
		s->beginning[text].entry = entry;
		s->beginning[text].mount = BPF_CORE_READ(unix_sock, path.mnt);
		return 0;
	}
	return take_address(which, text, (void *)address + bpf_core_field_offset(struct unix_address___seen, name),
			    BPF_CORE_READ(address, len));
}

static __noinline int use_socket(struct sock___seen *sock, __u32 rights)
{
	bool unix_socket;
	struct scratch *s;
	__u32 which;

	if (!sock)
		return 0;
	unix_socket = is_unix(sock);
	which = begin(unix_socket ? ACCESS_UNIX : ACCESS_SOCKET);
	s = which ? scratch_at(which - 1) : NULL;
	if (!s)
		return 0;
	s->access.what.type = BPF_CORE_READ(sock, sk_type);
	if (unix_socket) {
		take_own_address(which - 1, TEXT_PATH, sock);
	} else {
		s->access.what.object = BPF_CORE_READ(sock, __sk_common.skc_family);
		s->access.what.protocol = BPF_CORE_READ(sock, sk_protocol);
	}
	return end(which - 1, rights);
}

static __noinline int use_peer(struct sock___seen *sock, struct sock___seen *other, __u32 rights)
{
	__u32 which = begin(ACCESS_UNIX);
	struct scratch *s = which ? scratch_at(which - 1) : NULL;

	if (!s)
		return 0;
	s->access.what.type = BPF_CORE_READ(sock, sk_type);
	s->access.what.peer = slot_of_sock(other) == s->slot ? PEER_INSIDE : PEER_OUTSIDE;
	take_own_address(which - 1, TEXT_PATH, sock);
	take_own_address(which - 1, TEXT_TARGET, other);
	return end(which - 1, rights);
}

HOOK("fentry/security_socket_create", on_socket, int family, int type, int protocol, int kern)
{
	struct scratch *s;
	__u32 which;

	if (kern)
		return 0;
	which = begin(family == FAMILY_UNIX ? ACCESS_UNIX : ACCESS_SOCKET);
	s = which ? scratch_at(which - 1) : NULL;
	if (!s)
		return 0;
	s->access.what.type = type;
	if (family != FAMILY_UNIX) {
		s->access.what.object = family;
		s->access.what.protocol = protocol;
	}
	return end(which - 1, SOCKET_CREATE);
}

HOOK("fentry/security_socket_bind", on_bind, struct socket___seen *socket, const void *address, int length)
{
	struct sock___seen *sock = BPF_CORE_READ(socket, sk);
	struct scratch *s;
	__u32 which;

	if (!is_unix(sock))
		return use_socket(sock, SOCKET_BIND);
	which = begin(ACCESS_UNIX);
	s = which ? scratch_at(which - 1) : NULL;
	if (!s)
		return 0;
	s->access.what.type = BPF_CORE_READ(sock, sk_type);
	take_address(which - 1, TEXT_PATH, address, length);
	return end(which - 1, SOCKET_BIND);
}

HOOK("fentry/security_socket_listen", on_listen, struct socket___seen *socket)
{
	return use_socket(BPF_CORE_READ(socket, sk), SOCKET_LISTEN);
}

HOOK("fentry/security_socket_accept", on_accept, struct socket___seen *socket)
{
	return use_socket(BPF_CORE_READ(socket, sk), SOCKET_ACCEPT);
}

/* Of AF_UNIX the peer is known later, if there is one: on_unix_connect, on_unix_send. */
HOOK("fentry/security_socket_connect", on_connect, struct socket___seen *socket)
{
	return use_socket(BPF_CORE_READ(socket, sk), SOCKET_CONNECT);
}

HOOK("fentry/security_socket_sendmsg", on_send, struct socket___seen *socket)
{
	return use_socket(BPF_CORE_READ(socket, sk), SOCKET_SEND);
}

HOOK("fentry/security_socket_recvmsg", on_receive, struct socket___seen *socket)
{
	return use_socket(BPF_CORE_READ(socket, sk), SOCKET_RECEIVE);
}

HOOK("fentry/security_unix_stream_connect", on_unix_connect, struct sock___seen *sock, struct sock___seen *other)
{
	return use_peer(sock, other, SOCKET_CONNECT);
}

/* A datagram, or a socket for such is connected. */
HOOK("fentry/security_unix_may_send", on_unix_send, struct socket___seen *socket, struct socket___seen *other)
{
	return use_peer(BPF_CORE_READ(socket, sk), BPF_CORE_READ(other, sk), SOCKET_SEND);
}

#endif
