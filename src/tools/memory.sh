# memory.sh: servers that watch how our module treats memory.  Sourced after
# lib.sh; what use_checker sets, lib.sh heeds.

# use_checker sanitize|valgrind: has builds and servers after it use that checker.
# A script in the place of postgres starts it; initdb's needs no watching.
use_checker() {
	local installed=$BINDIR
	case $1 in sanitize|valgrind) ;; *) die "unknown checker \"$1\"" ;; esac
	own_server
	REPORTS=$WORK/reports
	"${AS[@]}" mkdir -p "$REPORTS"
	mv "$BINDIR/postgres" "$BINDIR/postgres.real"
	{
		echo '#!/bin/bash'
		echo "case \$1 in --boot|--check|--single|-V|--version) exec \"$BINDIR/postgres.real\" \"\$@\" ;; esac"
		"$1"
	} >"$BINDIR/postgres"
	chmod 755 "$BINDIR/postgres"
	export PGCTLTIMEOUT=300
}

# AddressSanitizer and UndefinedBehaviorSanitizer, in our module alone: their
# libraries must come first in a server that knows nothing of them
sanitize() {
	local sanitizers
	CHECK_FLAGS="-O1 -g -fsanitize=address,undefined -fno-omit-frame-pointer"
	gcc -shared -fPIC -o "$WORK/nolock.so" "$TOP/src/tools/nolock.c"
	sanitizers="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so)"
	cat <<-END
		export LD_PRELOAD="$sanitizers $WORK/nolock.so"
		export ASAN_OPTIONS=detect_leaks=1:halt_on_error=1:log_path=$REPORTS/address
		export LSAN_OPTIONS=exitcode=0:print_suppressions=0:suppressions=$TREE/src/tools/lsan.supp
		export UBSAN_OPTIONS=print_stacktrace=1:log_path=$REPORTS/undefined
		exec -a "$BINDIR/postgres" "$BINDIR/postgres.real" "\$@"
	END
}

# What palloc gave out and took back is known only to a server that was built so.
# Such a server has no report of its own, so that each is ours: a report names no
# module where it knows the source, and its stack may end before it gets to us.
valgrind() {
	local suppressions=$installed/../valgrind.supp
	[ -f "$suppressions" ] || die "valgrind wants a server of src/tools/assert-server"
	"${AS[@]}" cp "$suppressions" "$WORK/valgrind.supp"
	CHECK_FLAGS="-O1 -g" ours=.
	cat <<-END
		exec /usr/bin/valgrind --quiet --leak-check=no --trace-children=yes --error-limit=no \\
			--suppressions="$WORK/valgrind.supp" --log-file="$REPORTS/valgrind.%p" \\
			"$BINDIR/postgres.real" "\$@"
	END
}

# our_reports: those that name our module, one file each; the server's own are not ours
our_reports() {
	find "$REPORTS" -type f -size +0 -exec grep -lE "${ours:-$WORK/(tree|native)/|streamiter[a-z_]*\.so}" {} +
}
