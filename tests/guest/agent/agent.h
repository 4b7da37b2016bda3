/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What runs in a guest: the first process of its initramfs (init.c) and the command agent
 * (agent.c), one static program. tests/guest/channel.py is the other end of the frames.
 *
 * A frame is this header, little-endian, and `length` bytes. `channel` says which command it
 * belongs to; the host chooses it, and uses each once.
 */
#ifndef AGENT_H
#define AGENT_H

#include <stdbool.h>
#include <stdint.h>

#define PORT_NAME "agent"

struct frame {
	uint32_t length;
	uint32_t channel;
	uint8_t type;
} __attribute__((packed));

_Static_assert(sizeof(struct frame) == 9, "struct.Struct('<IIB') in channel.py");

enum from_host {
	RUN = 'R',     /* argv, each word ended by NUL */
	STDIN = 'I',   /* bytes; at most WINDOW of them unacknowledged */
	END = 'E',     /* no more standard input */
	SIGNAL = 'S',  /* int32: to the command's process group */
	FRESHEN = 'F', /* struct freshness; answered by FRESH */
};

enum to_host {
	HELLO = 'H',	/* once, when commands can come */
	STDOUT = 'O',
	STDERR = 'X',
	ACCEPTED = 'A', /* uint32: so many bytes of standard input were taken by the command */
	DONE = 'D',	/* int32: exit status, or 128 + the signal that ended it */
	FRESH = 'f',	/* int32: 0, or the errno of what failed */
};

#define WINDOW (256 * 1024)

struct freshness {
	uint64_t unix_ns;
	char boot_id[36]; /* text of a UUID */
	uint8_t entropy[64];
} __attribute__((packed));

_Static_assert(sizeof(struct freshness) == 108, "struct.Struct('<Q36s64s') in channel.py");

/* Serves the host for ever. `own_boot_id`: something read the boot id before the snapshot. */
void serve(bool own_boot_id);
/* One line in the kernel log, and so on the console. */
void report(const char *what, const char *which);

#endif
