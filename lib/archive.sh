#!/bin/sh
# Make the archive that is installed: archive.sh OBJCOPY AR OUT IN CC...
#
# Promise: OUT defines no name that begins otherwise than the public headers' (`ls_`). A plain archive of all objects
# cannot promise that, since the rooms find each other by global names. So all objects become one, in which hidden
# names are made local: a program may then have an `lsi_` of its own.
set -eu
objcopy=$1 ar=$2 out=$3 in=$4
shift 4
"$@" -r -nostdlib -Wl,--whole-archive "$in" -Wl,--no-whole-archive -o "$out.o"
"$objcopy" --localize-hidden "$out.o"
rm -f "$out"
"$ar" rcsD "$out" "$out.o"
rm -f "$out.o"
