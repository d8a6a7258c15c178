# lib.sh: what the tools share: a PostgreSQL, an unprivileged user, a temporary
# folder that goes away, a build in it, servers in it.  Sourced, never run.

set -euo pipefail

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

# The caller's connection settings, and the flags of the make that called us,
# are not meant for the servers and builds below.
for name in "${!PG@}" MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES; do
	[ "$name" = PG_CONFIG ] || unset "$name"
done
export LC_ALL=C

die() { echo "$(basename "$0"): $*" >&2; exit 1; }
say() { echo "== $*"; }

# A pg_config whose server and PGXS are really there
usable_pg() {
	[ -x "$1" ] && [ -x "$("$1" --bindir)/postgres" ] && [ -f "$("$1" --pgxs)" ]
}

# Sets PG_CONFIG, BINDIR and MAJOR: the caller's PG_CONFIG, else the first that is found
find_pg() {
	local candidate
	if [ -n "${PG_CONFIG:-}" ]; then
		PG_CONFIG=$(command -v "$PG_CONFIG") && usable_pg "$PG_CONFIG" ||
			die "PG_CONFIG names no complete PostgreSQL (server and headers)"
	else
		for candidate in /usr/lib/postgresql/{15,16,17,18}/bin/pg_config \
			/usr/pgsql-{15,16,17,18}/bin/pg_config "$(command -v pg_config)"; do
			if usable_pg "$candidate"; then PG_CONFIG=$candidate; break; fi
		done
		[ -n "${PG_CONFIG:-}" ] || return 1
	fi
	BINDIR=$("$PG_CONFIG" --bindir)
	MAJOR=$("$PG_CONFIG" --version | sed 's/[^0-9]*\([0-9]*\).*/\1/')
}

# Sets AS, the prefix that runs a command unprivileged: the server refuses to run as root
choose_user() {
	local user
	AS=()
	if [ "$(id -u)" = 0 ]; then
		user=postgres
		id -u $user >/dev/null 2>&1 || user=nobody
		AS=(setpriv --reuid="$user" --regid="$(id -g $user)" --init-groups)
	fi
}

# Sets WORK, a folder of the unprivileged user's.  Its path has no space, which
# PGXS cannot stand, and is short, since a Unix socket's may not pass 107 bytes.
make_workspace() {
	local parent
	choose_user
	for parent in "${TMPDIR:-/tmp}" /tmp; do
		case $parent in *[[:space:]]*|?????????????????????????????????*) continue ;; esac
		if "${AS[@]}" test -w "$parent" -a -x "$parent"; then break; fi
	done
	child=
	trap cleanup EXIT
	trap 'exit 129' HUP
	trap 'exit 130' INT
	trap 'exit 143' TERM
	WORK=$("${AS[@]}" mktemp -d "$parent/siter.XXXXXX")
	chmod 755 "$WORK"
	cd "$WORK"
	export TMPDIR=$WORK HOME=$WORK
}

# Stops whatever runs in the workspace, then removes it
cleanup() {
	local pidfile
	trap '' HUP INT TERM
	set +e
	if [ -n "$child" ]; then
		{ kill -TERM -- "-$child" || kill -TERM "$child"; wait "$child"; } 2>/dev/null
	fi
	cd /
	[ -n "${WORK:-}" ] || return
	find "$WORK" -name postmaster.pid | while read -r pidfile; do
		"${AS[@]}" "$BINDIR/pg_ctl" stop -s -m immediate -D "$(dirname "$pidfile")"
	done
	rm -rf "$WORK"
}

# Runs a command as the unprivileged user.  It gets a session of its own so that
# cleanup() can end it with all its children, and runs in the background because
# bash would otherwise heed a signal only after the command has ended.
run() {
	local status=0
	setsid "${AS[@]}" "$@" </dev/null &
	child=$!
	wait "$child" || status=$?
	child=
	return $status
}

# The same, silent: the output is shown only when the command fails
run_quietly() {
	run "$@" >"$WORK/quiet.log" 2>&1 || { cat "$WORK/quiet.log" >&2; return 1; }
}

# The same, shown while it runs and kept in a file for counting
run_logged() {
	local log=$1 status=0 tailer
	shift
	: >"$log"
	setsid "${AS[@]}" "$@" </dev/null >"$log" 2>&1 &
	child=$!
	tail -s 0.1 -n +1 -f --pid=$child "$log" &
	tailer=$!
	wait "$child" || status=$?
	child=
	wait "$tailer" || true
	return $status
}

# Sets TREE, a copy of the sources to build in: the checkout stays as it is, and
# may be unreadable to the unprivileged user, or have a space in its path
copy_tree() {
	TREE=$WORK/tree
	mkdir "$TREE"
	tar -C "$TOP" --exclude=.git --exclude='*.o' --exclude='*.so' --exclude='*.bc' \
		--exclude=./results --exclude=./output_iso --exclude='./tmp_check*' -cf - . |
		tar -C "$TREE" --no-same-owner -xf -
	[ ${#AS[@]} = 0 ] || chown -R "$("${AS[@]}" id -u):$("${AS[@]}" id -g)" "$TREE"
	chmod -R u+rwX "$TREE"
}

# pg_make FOLDER [ARG...]: make there, for our server
pg_make() {
	local folder=$1
	shift
	run_quietly make -s -C "$folder" -j"$(nproc)" PG_CONFIG="$PG_CONFIG" with_llvm=no "$@"
}

# Has PG_CONFIG and BINDIR name a copy of the server's files in the workspace, so
# that what is installed there meets nobody else's.  Links will do, but programs
# look for their files from where they really are.
own_server() {
	local folder
	[ "${PG_CONFIG#"$WORK/"}" = "$PG_CONFIG" ] || return 0
	for folder in $("$PG_CONFIG" --bindir --pkglibdir --sharedir --includedir-server); do
		"${AS[@]}" mkdir -p "$WORK/server$folder"
		if [ "$folder" = "$BINDIR" ]; then
			"${AS[@]}" cp -rT "$folder" "$WORK/server$folder"
		else
			"${AS[@]}" cp -rsT "$folder" "$WORK/server$folder"
		fi
	done
	BINDIR=$WORK/server$BINDIR
	PG_CONFIG=$BINDIR/pg_config
	[ "$("$PG_CONFIG" --bindir)" = "$BINDIR" ] || die "this server cannot be moved: $("$PG_CONFIG" --version)"
}

# build_and_install [FLAG...]: builds TREE with these compiler flags, for a server
# of our own, and installs it there
build_and_install() {
	own_server
	pg_make "$TREE" COPT="$* ${CHECK_FLAGS:-}" && pg_make "$TREE" install
}

# start_cluster NAME [SETTING...]: a new server on a Unix socket, and PGHOST, PGPORT to reach it
clusters=0
start_cluster() {
	local data=$WORK/$1 log=$WORK/$1.log
	shift
	clusters=$((clusters + 1))
	run_quietly "$BINDIR/initdb" -D "$data" -U postgres -A trust -N --no-locale -E UTF8 ||
		die "initdb failed"
	export PGHOST=$WORK PGPORT=$((54320 + clusters)) PGUSER=postgres PGDATABASE=postgres
	{
		printf '%s\n' "listen_addresses = ''" "unix_socket_directories = '$WORK'" "port = $PGPORT" "fsync = off" "$@"
	} >>"$data/postgresql.conf"
	run_quietly "$BINDIR/pg_ctl" start -s -w -D "$data" -l "$log" ||
		{ cat "$log" >&2; die "the server did not start"; }
}

# stop_cluster NAME
stop_cluster() {
	run_quietly "$BINDIR/pg_ctl" stop -s -w -m fast -D "$WORK/$1"
}

# The flag, of compilers that have it, that fills what a function does not initialize:
# else it may be zero for years, by luck
poison=-ftrivial-auto-var-init=pattern
cc $poison -x c -fsyntax-only /dev/null 2>/dev/null || poison=

# build_and_install_native [FLAG...]: the second extension, in a folder from which
# it sees no header but the installed one
build_and_install_native() {
	NATIVE=$WORK/native
	[ -f "$TREE/src/test/native/Makefile" ] || return 0
	"${AS[@]}" cp -r "$TREE/src/test/native" "$NATIVE"
	pg_make "$NATIVE" COPT="$* ${CHECK_FLAGS:-} -I$("$PG_CONFIG" --includedir-server)/extension/streamiter" &&
		pg_make "$NATIVE" install
}

# What a server's log tells of what a transaction forgot to give back
leaks="WARNING:  (.* leak: |resource was not closed|problem in |snapshot .* still active"
leaks+="|.*non-empty SPI stack|you don't own a lock)|did not account for all active snapshots"

# The control file's version, and what it is for those who want three numbers
control_version() { sed -n "s/^default_version *= *'\(.*\)'.*/\1/p" "$TOP/streamiter.control"; }
package_version() {
	local version
	version=$(control_version)
	case $version in *.*.*) echo "$version" ;; *) echo "$version.0" ;; esac
}
