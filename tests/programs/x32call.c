// SPDX-License-Identifier: Apache-2.0
/* One call with the x32 bit. A kernel without x32 answers ENOSYS, but the call was made. */
#include "raw.h"

void start(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	raw0(X32_BIT | __NR_getpid);
	raw0(__NR_getuid);
	leave(0);
}
