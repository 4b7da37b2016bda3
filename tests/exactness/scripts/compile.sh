# compile.sh FOLDER: make starts gcc, gcc starts the compiler, the assembler and the linker
set -eu
unset MAKEFLAGS MFLAGS MAKELEVEL # of the make that runs the tests
cd "$1"
printf '#include <stdio.h>\nint main(void) { return puts("built") < 0; }\n' >hello.c
printf 'all: hello copy\nhello: hello.c\n\tgcc -O1 -o $@ $<\ncopy: hello\n\tcp $< $@\n' >Makefile
make -s -j2
./copy
