# However a walk ends -- by an error, a cancel, a time-out, a lost session, or
# because its reader has had enough -- nothing of it is left: no cursor, no
# memory, no temporary file, no effect; and the session goes on.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Session;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('end');
$node->init;
# which would lock the table, and none of ours should
$node->append_conf('postgresql.conf', 'autovacuum = off');
$node->start;
my $observer = Session->new($node);
my $native = $observer->query(
	"SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'streamiter_native')") eq 't';

# Every step of a walk takes the next number, which others see at once; at
# number test.stop_at the callback does what test.stop_how says
$observer->query(q{
	CREATE EXTENSION streamiter;
	CREATE TABLE item AS SELECT g AS id, 0 AS v FROM generate_series(1, 5000) g;
	CREATE TABLE log (what text);
	CREATE SEQUENCE step;
	CREATE FUNCTION take(id integer) RETURNS integer LANGUAGE plpgsql AS $$
	BEGIN
		IF nextval('step') = current_setting('test.stop_at')::bigint THEN
			INSERT INTO log VALUES ('stopped');
			CASE current_setting('test.stop_how')
				WHEN 'sleep' THEN PERFORM pg_sleep(600);
				-- an error that skip mode does not skip
				WHEN 'fail' THEN RAISE EXCEPTION USING ERRCODE = 'disk_full';
			END CASE;
		END IF;
		RETURN id;
	END
	$$;
	CREATE FUNCTION take_all(ids integer[]) RETURNS void LANGUAGE plpgsql AS $$
	DECLARE
		id integer;
	BEGIN
		FOREACH id IN ARRAY ids LOOP
			PERFORM take(id);
		END LOOP;
	END
	$$;
	SELECT streamiter.register_callback('take all', 'take_all(integer[])', per => 'batch');
	SELECT streamiter.register_statement('take in SQL', 'SELECT take(id) FROM unnest($1) id')});
$observer->query('CREATE EXTENSION streamiter_native') if $native;

# The ways to walk, each with 25 million steps
my $items = 'FROM item a, item b';
my %walks = (
	'in the plan' => walk("SELECT a.id $items", 'take(integer)'),
	'row by row' => walk("SELECT a.id + 1 $items", 'take(integer)'),
	'batch function' => walk("SELECT a.id $items", 'take all'),
	'batch statement' => walk("SELECT a.id $items", 'take in SQL'),
	'skipping rows' => walk("SELECT a.id $items", 'take(integer)', "on_error => 'skip'"),
	'skipping halves' => walk("SELECT a.id $items", 'take all', "on_error => 'skip'"),
	'walk in a walk' => walk("SELECT ''SELECT a.id $items'', ''take(integer)''",
		'streamiter.for_each(text, text, integer, record, text, bigint, text, text)'),
	'iterator' => qq{
		SELECT count(b) FROM streamiter.iterator('SELECT take(a.id) $items', 1000) it,
			generate_series(1, 25000) i,
			streamiter.next_batch(CASE WHEN i > 0 THEN it END, NULL::integer) b},
);
$walks{'native'} = walk("SELECT take(a.id) $items", 'streamiter_native_count(internal)') if $native;

sub walk
{
	my ($query, $callback, @more) = @_;
	my $arguments = join ', ', "'$query'", "'$callback'", 'chunk_size => 1000', @more;

	return "SELECT rows FROM streamiter.for_each($arguments)";
}

# What a walk could leave
my $left = q{
	SELECT concat_ws(', ',
		(SELECT 'cursors: ' || count(*) FROM pg_cursors HAVING count(*) > 0),
		(SELECT 'contexts: ' || string_agg(name, ' ') FROM pg_backend_memory_contexts
			WHERE name LIKE 'streamiter%' HAVING count(*) > 0),
		(SELECT 'files: ' || count(*) FROM pg_ls_tmpdir() HAVING count(*) > 0),
		(SELECT 'effects: ' || count(*) FROM log WHERE what = 'stopped' HAVING count(*) > 0))};

# Another walk, which nothing stops
my $short = q{SELECT rows FROM streamiter.for_each('SELECT id FROM item', 'abs(integer)')};

sub session
{
	my ($how) = @_;

	$observer->query("SELECT setval('step', 1)");
	return Session->new($node, 'test.stop_at' => $how eq 'nothing' ? 0 : 2500,
		'test.stop_how' => $how);
}

# Waits until a session has got to where it sleeps
sub wait_for_sleep
{
	my $session = shift;

	return $observer->poll(
		"SELECT wait_event = 'PgSleep' FROM pg_stat_activity WHERE pid = " . $session->pid);
}

# Ways to end a walk: what its callback does meanwhile, what is done to it, and
# the error that this comes to
my %ends = (
	'error' => [ 'fail', sub { }, '53100' ],
	'cancel' => [ 'nothing', sub {
			my $session = shift;
			$observer->poll('SELECT last_value > 10000 FROM step');
			$observer->query('SELECT pg_cancel_backend(' . $session->pid . ')');
		}, '57014' ],
	'cancel, asleep' => [ 'sleep', sub {
			my $session = shift;
			wait_for_sleep($session);
			$observer->query('SELECT pg_cancel_backend(' . $session->pid . ')');
		}, '57014' ],
	'time-out, asleep' => [ 'sleep', sub { }, '57014' ],
);

for my $walk (sort keys %walks)
{
	for my $end (sort keys %ends)
	{
		my ($how, $act, $code) = @{ $ends{$end} };
		my $session = session($how);
		$session->query('BEGIN');
		$session->query("INSERT INTO log VALUES ('before')");
		$session->query('SAVEPOINT s');
		$session->query("SET LOCAL statement_timeout = '300ms'") if $end =~ /time-out/;

		$session->send($walks{$walk});
		$act->($session);
		my $outcome = $session->finish;
		is($outcome->{error}{code}, $code, "$walk, $end: fails");

		$session->query('ROLLBACK TO s');
		is($session->query($left), '', "$walk, $end: nothing is left to the transaction");
		is($session->query($short), '5000', "$walk, $end: which can walk again");
		$session->try('COMMIT');
		is($session->notices, '', "$walk, $end: and commits");
		is($session->query('SELECT what FROM log'), 'before', "$walk, $end: what it has done");
		$session->query('DELETE FROM log');
		is($session->query($left), '', "$walk, $end: nothing is left to the session");
	}
}

# Without a transaction block, and within an exception block
for my $walk (sort keys %walks)
{
	my $session = session('fail');
	my $outcome = $session->try($walks{$walk});
	is($outcome->{error}{code}, '53100', "$walk, alone: fails");
	is($session->query($left), '', "$walk, alone: nothing is left");

	$session->query("SELECT setval('step', 1)");
	$session->try(qq{
		DO \$\$
		BEGIN
			EXECUTE \$walk\$ $walks{$walk} \$walk\$;
		EXCEPTION WHEN disk_full THEN
			RAISE NOTICE 'left: "%"', ($left);
			RAISE NOTICE '%', ($short);
		END
		\$\$});
	is($session->notices, qq{left: ""\n5000}, "$walk, caught: nothing is left");
	is($session->query($left), '', "$walk, caught: nothing is left to the session");
}

# A thousand failures cost no more memory than a hundred
{
	my $session = session('fail');
	my $memory = 'SELECT sum(total_bytes) FROM pg_backend_memory_contexts';
	my $fail = sub {
		my $times = shift;
		$session->query(qq{
			DO \$\$
			BEGIN
				FOR i IN 1 .. $times LOOP
					BEGIN
						PERFORM setval('step', 2490);
						PERFORM streamiter.for_each('SELECT id FROM item', 'take(integer)', 7,
							on_error => CASE WHEN i % 2 = 0 THEN 'skip' ELSE 'stop' END);
						RAISE 'did not fail';
					EXCEPTION WHEN disk_full THEN
					END;
				END LOOP;
			END
			\$\$});
		return $session->query($memory);
	};
	my $few = $fail->(100);
	my $many = $fail->(1000);
	cmp_ok($many - $few, '<=', 64 * 1024, 'failures leave no memory behind');
}

# A session that is gone, and a client that is gone
for my $walk (sort keys %walks)
{
	my $session = session('sleep');
	my $pid = $session->pid;
	$session->send($walks{$walk});
	wait_for_sleep($session);
	$observer->query("SELECT pg_terminate_backend($pid)");
	my $outcome = $session->finish;
	ok($outcome->{lost}, "$walk: session ended");
	ok($observer->poll("SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $pid"),
		"$walk: the backend goes");
	is($observer->query($left), '', "$walk: nothing is left to the server");
	is($observer->query("SELECT count(*) FROM pg_locks WHERE relation = 'item'::regclass"),
		'0', "$walk: nor is a lock");
}

# Readers that have had enough
{
	my $session = session('nothing');
	my $it = "streamiter.iterator('SELECT id FROM item', 10)";

	$session->query("SELECT * FROM $it");
	is($session->query($left), '', 'an iterator ends with its statement');
	$session->query('BEGIN');
	my $name = $session->query("SELECT $it");
	is($session->query("SELECT * FROM streamiter.next_batch('$name', NULL::int) LIMIT 2"),
		"1\n2", 'a batch of which two rows are taken');
	is($session->query("SELECT * FROM streamiter.next_batch('$name', NULL::int) LIMIT 2"),
		"11\n12", 'takes the whole batch');
	$session->query("CLOSE $name");
	is($session->query($left), '', 'a closed iterator is gone');
	is($session->query("SELECT w.rows FROM (SELECT streamiter.for_each('SELECT id FROM item', 'take(integer)') w
		FROM generate_series(1, 3)) x, LATERAL (SELECT (x.w).rows) w LIMIT 1"),
		'5000', 'the first of several walks');
	is($session->query($left), '', 'and LIMIT ends the rest');
	$session->query('COMMIT');
	is($session->notices, '', 'nothing to warn of');
}

like($node->safe_psql('postgres', 'SELECT pg_stat_force_next_flush();
		SELECT temp_files FROM pg_stat_database WHERE datname = current_database()'),
	qr/^\s*0$/, 'no walk has written a temporary file');
unlike(slurp_file($node->logfile),
	qr/WARNING:.*(leak|SPI|transaction)|PANIC|TRAP|terminated by signal/,
	'and the server has noticed nothing wrong');
$node->stop;

done_testing();
