# servers.sh: other PostgreSQLs than the machine's own, kept in a cache folder
# outside the checkout.  Sourced after lib.sh, by what makes or uses them.

# The majors that Debian carries, and in which suites
majors="15 17 18"
suites_of() {
	case $1 in
		15) echo bookworm ;;
		17) echo trixie ;;
		18) echo forky sid ;;
		*) die "no suite of Debian carries PostgreSQL $1" ;;
	esac
}

# Sets CACHE.  The unprivileged user must be able to read it.
find_cache() {
	local parent
	[ -z "${CACHE:-}" ] || return 0
	choose_user
	for parent in "${XDG_CACHE_HOME:-}" /var/cache ~/.cache /tmp; do
		case $parent in ''|*[[:space:]]*) continue ;; esac
		CACHE=$parent/streamiter
		if mkdir -p "$CACHE" 2>/dev/null && [ -w "$CACHE" ] && "${AS[@]}" test -r "$CACHE" -a -x "$CACHE"; then
			return
		fi
	done
	die "no folder to keep servers in"
}

# find_server NAME: sets PG_CONFIG to that of "15", the machine's own or Debian's
# package unpacked, of "point15", the same without later security updates, or of
# "assert15", made from Debian's sources
find_server() {
	local name=$1 suite
	find_cache
	case $name in
		assert*)
			"$TOP/src/tools/assert-server" "${name#assert}" "$CACHE/$name"
			PG_CONFIG=$CACHE/$name/bin/pg_config
			;;
		point*)
			suite=$(suites_of "${name#point}")
			"$TOP/src/tools/prefix" "$suite-point" "${name#point}" "$CACHE/$name"
			PG_CONFIG=$CACHE/$name/usr/lib/postgresql/${name#point}/bin/pg_config
			;;
		*)
			PG_CONFIG=/usr/lib/postgresql/$name/bin/pg_config
			usable_pg "$PG_CONFIG" && return
			for suite in $(suites_of "$name"); do
				if "$TOP/src/tools/prefix" "$suite" "$name" "$CACHE/pg$name"; then break; fi
			done
			PG_CONFIG=$CACHE/pg$name/usr/lib/postgresql/$name/bin/pg_config
			;;
	esac
	usable_pg "$PG_CONFIG" || die "no server $name"
}

# make_once DIR COMMAND...: runs the command unless an earlier run of the same tool,
# as it is now, has completed DIR.  Two at once wait for each other.
make_once() {
	local folder=$1 recipe
	shift
	recipe=$(cksum <"$0")
	mkdir -p "$(dirname "$folder")"
	exec {lock}>"$folder.lock"
	flock "$lock"
	if [ "$(cat "$folder/recipe" 2>/dev/null)" != "$recipe" ]; then
		rm -rf "$folder"
		mkdir -p "$folder"
		"$@"
		chmod -R go+rX "$folder"
		echo "$recipe" >"$folder/recipe"
	fi
	exec {lock}>&-
}

# open_apt SUITE FOLDER: has apt() see that suite of the archives that this machine
# uses, and no other, and believe that nothing is installed.  SUITE-point is what
# the suite was when it was last released.
open_apt() {
	local suite=${1%-point} folder=$2
	mkdir -p "$folder"/state/lists/partial "$folder"/cache/archives/partial
	: >"$folder/state/status"
	apt_options=(-o "Dir::State=$folder/state" -o "Dir::State::status=$folder/state/status"
		-o "Dir::Cache=$folder/cache" -o "Dir::Etc::sourcelist=$folder/sources.list"
		-o Dir::Etc::sourceparts=/dev/null -o Dir::Etc::preferencesparts=/dev/null
		-o Acquire::Check-Valid-Until=false -o Acquire::Retries=3 -o APT::Sandbox::User=root)
	{
		see_archive debian "$suite"
		# what is not released yet has no security updates
		case $1 in forky|sid|*-point) ;; *) see_archive debian-security "$suite-security" ;; esac
	} >"$folder/sources.list"
	[ -s "$folder/sources.list" ] || die "this machine uses no archive of Debian's"
	apt -o APT::Update::Error-Mode=any update || die "the archives of Debian's $suite cannot be read"
}

see_archive() {
	local archive
	archive=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -m 1 "/$1/*\$") || return 0
	printf "deb%s [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $archive $2 main\n" '' -src
}

# Silent unless it fails
apt() {
	local messages
	messages=$(apt-get -qq -y "${apt_options[@]}" "$@" </dev/null 2>&1) || {
		echo "$messages" >&2
		return 1
	}
}
