# Jobs past one machine: a coordinator and three nodes, which are killed,
# cancelled, cut off, changed and misconfigured.  Each row of each node is done
# exactly once, and the state of each part is what its node says.
#
# DISTRIBUTED_CYCLES: how many kills at random; DISTRIBUTED_SEED: the number an
# earlier run has printed, to have its choices again.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Session;
use Test::More;
use Victim;

my $cycles = $ENV{DISTRIBUTED_CYCLES} || 3;
my $seed = $ENV{DISTRIBUTED_SEED} || int(rand(2**31));
srand $seed;
note "DISTRIBUTED_SEED=$seed";

# number 0 is the coordinator
my (@node, @server, @db);

$SIG{INT} = $SIG{TERM} = $SIG{HUP} = sub { exit 1 };
END
{
	my $status = $?;
	$_->stop foreach grep { defined } @server;
	$? = $status;
}

for my $n (0 .. 3)
{
	$node[$n] = PostgreSQL::Test::Cluster->new($n ? "node$n" : 'coordinator');
	if ($n == 0)
	{
		$node[0]->init;
		$node[0]->append_conf('postgresql.conf', 'fsync = off');
		my $hba = $node[0]->data_dir . '/pg_hba.conf';
		my $rules = slurp_file($hba);
		unlink $hba;
		append_to_file($hba, "local all regress_app scram-sha-256\n$rules");
		$node[0]->backup_fs_cold('fresh');
	}
	else
	{
		$node[$n]->init_from_backup($node[0], 'fresh');
	}
}
for my $n (0 .. 3)
{
	$server[$n] = Victim->new($node[$n]);
	$server[$n]->start;
}
sub connect_to { my $n = shift; return $db[$n] = Session->wait_for_server($node[$n]); }
connect_to($_) for 0 .. 3;

my $rows = 3000;				# of each node
my $user = getpwuid($>);

sub on { my ($n, $sql) = @_; return $db[$n]->query($sql); }
sub on_nodes { my $sql = shift; on($_, $sql) for 1 .. 3; return; }
sub here { return on(0, shift); }

# What an error or the notices of a statement on the coordinator were
my @all_told;
sub told
{
	my $outcome = shift;
	my $error = $outcome->{error};
	my @told = map { "$_->{message}\n" . ($_->{detail} // '') } @{ $outcome->{notices} };

	@told = (join "\n", "$error->{code} $error->{message}", $error->{detail} // '', $error->{hint} // '') if $error;
	push @all_told, @told;
	return join "\n", @told;
}
sub says { return told($db[0]->try(shift)); }

sub states
{
	my ($name, $column) = @_;
	$column //= 'state';
	return join ' ', split /\n/,
	  here("SELECT coalesce($column, '-') FROM streamiter.part_states WHERE name = '$name' ORDER BY part");
}

# Each row of the nodes has been done so often
sub is_done
{
	my ($times, $name, @nodes) = @_;
	@nodes = (1 .. 3) if !@nodes;
	is(join(' ', map { on($_, 'SELECT min(v), max(v), count(*) FROM items') } @nodes),
		join(' ', ("$times|$times|$rows") x @nodes), $name);
	return;
}
sub afresh { on_nodes('UPDATE items SET v = 0 WHERE v <> 0'); return; }

# A batch waits at the gate of its node while we hold it
sub shut { my $n = shift; return on($n, 'SELECT pg_advisory_lock(7)'); }
sub open_gate { my $n = shift; return on($n, 'SELECT pg_advisory_unlock(7)'); }
my $calls = q{pg_stat_activity WHERE query LIKE 'CALL streamiter.run(%' AND state = 'active'};
sub wait_at_gate
{
	my $n = shift;
	return $db[$n]->poll(qq{SELECT count(*) = 1 FROM $calls AND wait_event = 'advisory'});
}
sub kill_node { my $n = shift; $server[$n]->kill_all; undef $db[$n]; return; }
sub revive { my $n = shift; $server[$n]->start; connect_to($n); return; }

on_nodes($_) for (
	'CREATE EXTENSION streamiter',
	q{CREATE ROLE regress_app LOGIN PASSWORD 'a secret'},
	'CREATE TABLE items (id bigint PRIMARY KEY, v integer NOT NULL DEFAULT 0) WITH (fillfactor = 50)',
	'GRANT ALL ON items TO regress_app',
	q{CREATE FUNCTION work(key bigint) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM pg_advisory_xact_lock_shared(7);
		IF EXISTS (SELECT FROM bad WHERE id = key) THEN
			RAISE EXCEPTION 'bad row %', key USING ERRCODE = 'UE001';
		END IF;
		UPDATE items SET v = v + 1 WHERE id = key;
	END $$},
	'CREATE TABLE bad (id bigint)',
	'GRANT SELECT ON bad TO regress_app');

my $statement = 'WITH gate AS (SELECT pg_advisory_xact_lock_shared(7))
	UPDATE {part} SET v = v + 1 FROM gate WHERE id BETWEEN $1 AND $2';

# -- before there is anything to reach nodes with ---------------------------------

here('CREATE EXTENSION streamiter');
here('CREATE ROLE regress_app LOGIN');
here('CREATE TABLE plain (id bigint PRIMARY KEY)');
here('CREATE TABLE apart (id bigint, v integer) PARTITION BY RANGE (id)');
here('CREATE TABLE apart_1 PARTITION OF apart FOR VALUES FROM (0) TO (10)');
like(says(q{SELECT streamiter.parts(servers => '{s1}')}),
	qr/^42704 server "s1" does not exist/, 'no such server');
like(says(q{SELECT * FROM streamiter.parts('plain')}),
	qr/^42809 table "public.plain" has no partitions on other servers/, 'a table that has no partitions');
like(says(q{SELECT * FROM streamiter.parts('apart')}),
	qr/^42809 .*create_job/s, '... or has them all here');
here('CREATE FOREIGN DATA WRAPPER other');
here('CREATE SERVER s0 FOREIGN DATA WRAPPER other');
like(says(q{SELECT streamiter.distribute('x', servers => '{s0}', source => 'TABLE items', callback => 'work(bigint)')}),
	qr/^42704 there is no user mapping of role .* for server "s0".*CREATE USER MAPPING/s, 'no user mapping');
here('CREATE USER MAPPING FOR CURRENT_USER SERVER s0');
like(says(q{SELECT streamiter.distribute('x', servers => '{s0}', source => 'TABLE items', callback => 'work(bigint)')}),
	qr/^55000 .*extension "dblink" is not installed.*CREATE EXTENSION dblink/s, 'no dblink');

# -- distributing -------------------------------------------------------------------

here('CREATE EXTENSION dblink');
here('CREATE EXTENSION postgres_fdw');
here('CREATE TABLE fp (id bigint, v integer) PARTITION BY RANGE (id)');
here('CREATE TABLE fh (id bigint, v integer) PARTITION BY HASH (id)');
for my $n (1 .. 3)
{
	my ($from, $to) = (($n - 1) * $rows, $n * $rows);
	my ($host, $port) = ($node[$n]->host, $node[$n]->port);
	on($n, "INSERT INTO items SELECT generate_series($from, $to - 1)");
	on($n, 'VACUUM ANALYZE items');
	here("CREATE SERVER s$n FOREIGN DATA WRAPPER postgres_fdw
		OPTIONS (host '$host', port '$port', dbname 'postgres', connect_timeout '10')");
	here("CREATE USER MAPPING FOR CURRENT_USER SERVER s$n OPTIONS (user '$user')");
	here("CREATE FOREIGN TABLE fp_$n PARTITION OF fp FOR VALUES FROM ($from) TO ($to)
		SERVER s$n OPTIONS (table_name 'items')");
	here("CREATE FOREIGN TABLE fh_$n PARTITION OF fh FOR VALUES WITH (MODULUS 3, REMAINDER ${\ ($n - 1)})
		SERVER s$n OPTIONS (table_name 'items')");
}
here("CREATE TABLE fp_0 PARTITION OF fp FOR VALUES FROM (-$rows) TO (0)");
here('ALTER TABLE fp_0 ADD PRIMARY KEY (id)');
here("INSERT INTO fp_0 SELECT generate_series(-$rows, -1), 0");

is(here(q{SELECT engine, coalesce(server, '-'), node_relation, partition FROM streamiter.parts('fp')}),
	"local|-|public.fp_0|public.fp_0\n" . join("\n", map { "dblink|s$_|public.items|public.fp_$_" } 1 .. 3),
	'parts of a table, one of them here');
is(here("SELECT streamiter.distribute('range', 'fp', statement => '$statement', per => 'range',
	settings => '{\"chunk_size\": 100}')"), 4, 'jobs are made');
is(states('range'), 'ready ready ready ready', '... and ready');
is(on(2, 'SELECT name, chunk_size FROM streamiter.jobs'), 'range of public.items|100', '... on the nodes');
is(here(q{SELECT streamiter.distribute('range')}), 4, 'to repair what is whole changes nothing');
is(here(q{SELECT streamiter.distribute('range', settings => '{"chunk_size": 50, "max_retries": 7}')}), 4, 'settings change');
is(on(2, 'SELECT chunk_size, max_retries FROM streamiter.jobs'), '50|7', '... on the nodes');
here(q{SELECT streamiter.distribute('range', settings => '{"chunk_size": 100}')});
is(on(2, 'SELECT chunk_size, max_retries FROM streamiter.jobs'), '100|5', '... and back to their defaults');
like(says(q{SELECT streamiter.distribute('range', 'fp', callback => 'work(bigint)')}),
	qr/^42710 distributed job "range" exists with another callback/, 'other work of that name');
like(says(q{SELECT streamiter.distribute('range', settings => '{"nosuch": 1}')}),
	qr/^22023 there is no setting "nosuch"/, 'no such setting');

like(says(q{CALL streamiter.run_parts('range')}),
	qr/^distributed job "range": parts 4: 4 finished; rows ${\ (4 * $rows)}, skipped 0$/m, 'range: all parts run');
is_done(1, '... each row once');
is(here('SELECT min(v), max(v) FROM fp_0'), '1|1', '... here too');
is(states('range'), 'finished finished finished finished', '... and are finished');
is(states('range', 'position'), join(' ', map { '{' . ($_ * $rows - 1) . '}' } 0 .. 3), '... where the rows end');
like(says(q{CALL streamiter.run_parts('range')}), qr/parts 4: 4 finished/, 'again: nothing to do');
is_done(1, '... and nothing done');

afresh();
here("SELECT streamiter.distribute('hash', 'fh', 'work(bigint)', source => 'SELECT id FROM {part}',
	settings => '{\"chunk_size\": 100}')");
like(says(q{CALL streamiter.run_parts('hash', at_once => 1, workers => 2)}), qr/parts 3: 3 finished; rows ${\ (3 * $rows)}/,
	'hash: one after the other, two processes each');
is_done(1, '... each row once');
is(here(q{SELECT count(*) FROM unnest(ARRAY(
	SELECT last_ended FROM streamiter.part_states WHERE name = 'hash' ORDER BY part)) WITH ORDINALITY e (t, n)
	JOIN unnest(ARRAY(SELECT last_started FROM streamiter.part_states WHERE name = 'hash' ORDER BY part))
	WITH ORDINALITY s (t, n) ON s.n = e.n + 1 WHERE s.t < e.t}), 0, '... never two at once');

like(says(q{BEGIN; CALL streamiter.run_parts('hash')}), qr/^2D000 .*\n.*outside of BEGIN/s, 'not in a transaction');
here('ROLLBACK');
is(here(q{SELECT streamiter.drop_parts('hash')}), 't', 'all dropped');
is(on(1, q{SELECT count(*) FROM streamiter.jobs WHERE name LIKE 'hash%'}), 0, '... on the nodes too');

# -- kills ----------------------------------------------------------------------------

my $distribute = "SELECT streamiter.distribute('job', servers => '{s1,s2,s3}',
	source => 'SELECT id FROM items', callback => 'work(bigint)', settings => '{\"chunk_size\": 100}')";
my $run = q{CALL streamiter.run_parts('job', max_attempts => 1000, retry_delay => '0.1 s')};
my $caller = Session->wait_for_server($node[0]);

sub is_finished
{
	my $name = shift;
	is(states('job'), 'finished finished finished', "$name: all are finished");
	is_done(1, '... each row once');
	afresh();
	here(q{SELECT streamiter.reset_parts('job')});
	return;
}

here($distribute);
afresh();
shut(2);
$caller->send($run);
wait_at_gate(2);
kill_node(2);
is(here(q{SELECT state FROM streamiter.part_states WHERE name = 'job' AND server = 's2'}),
	'unreachable', 'a node is killed, and cannot be asked');
revive(2);
is($caller->finish->{error}, undef, '... it is started again when it is back');
is_finished('kill of a node');

my $runs = q{SELECT count(*) FROM streamiter.runs WHERE name = 'job'};
my $others_finished = q{SELECT bool_and(state = 'finished') FROM streamiter.part_states
	WHERE name = 'job' AND server <> 's2'};
my $before = on(2, $runs);
shut(2);
$caller->send($run);
wait_at_gate(2);
$db[0]->poll($others_finished);
kill_node(0);
connect_to(2) if !$db[2];
is(on(2, "SELECT count(*) FROM $calls"), 1, 'the coordinator is killed, and the node goes on');
revive(0);
is(states('job', 'CASE server WHEN \'s2\' THEN state END'), '- running -', '... as its state says');
like(says(q{CALL streamiter.run_parts('job', max_duration => '0.1 s')}), qr/parts 3: .*1 running/,
	'... a second CALL waits no longer for it than it is to');
$caller = Session->wait_for_server($node[0]);
$caller->send($run);
$db[0]->poll(q{SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE 'CALL streamiter.run_parts%' AND wait_event = 'PgSleep'});
$db[0]->poll($others_finished);
is(on(2, "SELECT count(*) FROM $calls"), 1, '... a second CALL does not disturb it');
open_gate(2);
like(told($caller->finish), qr/parts 3: 3 finished/, '... but waits for it');
is(on(2, $runs), $before + 1, '... it ran once');
is_finished('kill of the coordinator');

shut(2);
$caller->send($run);
wait_at_gate(2);
on(2, "SELECT pg_terminate_backend(pid) FROM $calls");
open_gate(2);
is($caller->finish->{error}, undef, 'a call that was terminated is made again');
is_finished('kill of a call');

# -- cancel ------------------------------------------------------------------------------

shut($_) for 1 .. 3;
$caller->send($run);
wait_at_gate($_) for 1 .. 3;
here('SELECT pg_cancel_backend(' . $caller->pid . ')');
is($caller->finish->{error}{code}, '57014', 'the CALL is cancelled');
$db[$_]->poll("SELECT count(*) = 0 FROM $calls") for 1 .. 3;
open_gate($_) for 1 .. 3;
is(states('job'), 'stopped stopped stopped', '... and with it all parts');
is($caller->try($run)->{error}, undef, 'another goes on');
is_finished('cancel');

shut($_) for 1 .. 3;
$caller->send($run);
wait_at_gate($_) for 1 .. 3;
is(here(q{SELECT count(*) FROM streamiter.cancel_parts('job') WHERE error IS NULL}), 3, 'parts are cancelled');
open_gate($_) for 1 .. 3;
like(told($caller->finish), qr/parts 3: 3 cancelled/, '... which ends the CALL');
is(states('job'), 'cancelled cancelled cancelled', '... and shows');
here(q{SELECT streamiter.reset_parts('job')});
afresh();

here(q{SELECT streamiter.pause_parts('job')});
like(says($run), qr/parts 3: 3 paused/, 'paused parts are left alone');
here(q{SELECT streamiter.resume_parts('job')});
shut(3);
$caller->send(q{CALL streamiter.run_parts('job', max_duration => '3 s')});
wait_at_gate(3);
$db[3]->poll(qq{SELECT clock_timestamp() > query_start + interval '3 s' FROM $calls});
open_gate(3);
like(told($caller->finish), qr/parts 3: .*\d stopped/, 'max_duration ends the CALL');
like(states('job'), qr/ stopped$/, '... and holds on the nodes');
is($caller->try($run)->{error}, undef, 'the next CALL does the rest');
is_finished('max_duration');

# cancelled while a node is at it, distribute() leaves nothing
on(2, 'BEGIN');
on(2, 'LOCK streamiter.job IN EXCLUSIVE MODE');
$caller->send($distribute =~ s/'job'/'left'/r);
$db[2]->poll(q{SELECT count(*) = 1 FROM pg_locks WHERE NOT granted});
here('SELECT pg_cancel_backend(' . $caller->pid . ')');
$caller->done(0.2);
on(2, 'COMMIT');
is($caller->finish->{error}{code}, '57014', 'distribute() is cancelled');
is(join(' ', map { on($_, q{SELECT count(*) FROM streamiter.jobs WHERE name = 'left'}) } 1 .. 3), '0 0 0',
	'... and leaves no job, also where one was being made');

# -- a node that is down, a row that is bad -----------------------------------------------

kill_node(3);
my $told = told($caller->try(q{CALL streamiter.run_parts('job', max_attempts => 2, retry_delay => '0.1 s')}));
like($told, qr/^080\d\d distributed job "job" has not finished: 1 of 3 parts failed\npart on server s3: unreachable|^080\d\d .*\nserver s3: unreachable/,
	'one node is down from the start');
is(states('job'), 'finished finished unreachable', '... the others have finished, and it is not said to have');
is(here(q{SELECT state FROM streamiter.pause_parts('job') WHERE server = 's3'}), 'unreachable', 'nor can it be told anything');
revive(3);
is($caller->try($run)->{error}, undef, 'a node that is back is done then');
is_finished('a node restored');

$before = on(2, $runs);
on(2, "INSERT INTO bad VALUES ($rows + 150)");
$told = told($caller->try(q{CALL streamiter.run_parts('job', max_attempts => 2, retry_delay => '0 s')}));
like($told, qr/^UE001 distributed job "job" has not finished: 1 of 3 parts failed\nserver s2: failed: bad row 3150/,
	'a bad row fails its part');
is(states('job'), 'finished failed finished', '... and no other');
is(states('job', 'message'), '- bad row 3150 -', '... for that reason');
is(on(2, $runs), $before + 2, '... after as many attempts as allowed');
on(2, 'DELETE FROM bad');
is($caller->try($run)->{error}, undef, 'when it is mended, the rest is done');
is_finished('a bad row');

on(2, "INSERT INTO bad VALUES ($rows + 150)");
here(q{SELECT streamiter.distribute('job', settings => '{"chunk_size": 100, "on_error": "skip"}')});
like(told($caller->try($run)), qr/parts 3: 2 finished, 1 finished_with_skips; rows 9000, skipped 1/, 'it may be skipped');
is(states('job', "skipped::text"), '0 1 0', '... as its part shows');
on(2, 'DELETE FROM bad');
here(q{SELECT streamiter.retry_skipped_parts('job')});
is($caller->try($run)->{error}, undef, 'and tried again');
is_finished('skip');

# -- kills at random -------------------------------------------------------------------------

for my $cycle (1 .. $cycles)
{
	my $kills = 1 + int rand 4;
	$caller->send($run);
	for (1 .. $kills)
	{
		my $victim = int rand 4;
		select undef, undef, undef, rand 0.15;
		$server[$victim]->kill_all;
		undef $db[$victim];
		select undef, undef, undef, rand 0.1;
		revive($victim);
		next if $victim;
		$caller = Session->wait_for_server($node[0]);
		$caller->send($run);
	}
	is($caller->finish->{error}, undef, "cycle $cycle: the last CALL succeeds");
	is_finished("$kills kills");
}

# -- partitions that come, go and move --------------------------------------------------------

here(q{SELECT streamiter.drop_parts('job')});
here(q{SELECT streamiter.reset_parts('range')});
afresh();
here('UPDATE fp_0 SET v = 0');
on_nodes('CREATE TABLE more (id bigint PRIMARY KEY, v integer NOT NULL DEFAULT 0)');
on_nodes('INSERT INTO more SELECT generate_series(10000, 10499)');
here(q{CREATE FOREIGN TABLE fp_4 PARTITION OF fp FOR VALUES FROM (10000) TO (20000) SERVER s1 OPTIONS (table_name 'more')});
like(says(q{CALL streamiter.run_parts('range')}),
	qr/^55000 the parts of distributed job "range" have changed\nnew: part public.more on server s1\n.*distribute/,
	'a new partition is not passed over');
is(here(q{SELECT streamiter.distribute('range')}), 5, '... but made a part');
like(says(q{CALL streamiter.run_parts('range', at_once => 2)}), qr/parts 5: 5 finished/, '... that runs');
is_done(1, '... each row once');
is(on(1, 'SELECT min(v), max(v) FROM more'), '1|1', '... there too');

here('ALTER TABLE fp DETACH PARTITION fp_4');
like(says(q{CALL streamiter.run_parts('range')}),
	qr/^55000 .*\ngone: part public.more on server s1/, 'a partition that is detached is noticed');
here('DROP FOREIGN TABLE fp_4');
here(q{CREATE FOREIGN TABLE fp_4 PARTITION OF fp FOR VALUES FROM (10000) TO (20000) SERVER s2 OPTIONS (table_name 'more')});
like(says(q{SELECT streamiter.distribute('range')}),
	qr/^55000 part public.more on server s2: partition public.fp_4 has moved\n.*part public.more on server s1.*\nacknowledge => true/s,
	'one that has moved is not done again');
is(here(q{SELECT streamiter.distribute('range', acknowledge => true)}), 5, '... unless that is wanted');
like(says(q{CALL streamiter.run_parts('range')}), qr/parts 5: 5 finished/, '... and then it is');
here('ALTER TABLE fp DETACH PARTITION fp_4');
is(here(q{SELECT streamiter.distribute('range')}), 4, 'a part is forgotten');

on(3, q{SELECT streamiter.drop_job('range of public.items')});
is(states('range'), 'finished finished finished missing', 'a job that is gone shows');
like(says(q{CALL streamiter.run_parts('range')}), qr/^55000 .*does not exist/, '... and is missed');
like(says(q{SELECT streamiter.distribute('range')}),
	qr/^55000 part public.items on server s3: job .* is gone.*acknowledge => true/s, '... and not made again unasked');
on(3, 'UPDATE items SET v = 0');
is(here(q{SELECT streamiter.distribute('range', acknowledge => true)}), 4, '... but when asked');
like(says(q{CALL streamiter.run_parts('range')}), qr/parts 4: 4 finished/, '... it runs');
is_done(1, '... on its node alone');

# -- nodes that will not do ----------------------------------------------------------------------

on(2, q{UPDATE pg_extension SET extversion = '0.9' WHERE extname = 'streamiter'});
like(says(q{CALL streamiter.run_parts('range')}),
	qr/^55000 part public.items on server s2: extension "streamiter" has version 0.9 on server "s2", and 1.0 here/,
	'another version is refused');
is(states('range'), 'finished finished unreachable finished', '... and its state is not guessed');
on(2, q{UPDATE pg_extension SET extversion = '1.0' WHERE extname = 'streamiter'});

on(3, 'CREATE DATABASE empty');
here(q{ALTER SERVER s3 OPTIONS (SET dbname 'empty')});
like(says($distribute), qr/^55000 server s3: extension "streamiter" is not installed on server "s3".*CREATE EXTENSION/s,
	'a node without the extension');
is(join(' ', map { on($_, q{SELECT count(*) FROM streamiter.jobs WHERE name = 'job'}) } 1, 2), '0 0',
	'... and nothing is left on the others');
here(q{ALTER SERVER s3 OPTIONS (SET dbname 'postgres')});

here(q{ALTER USER MAPPING FOR CURRENT_USER SERVER s3 OPTIONS (SET user 'nobody_there')});
like(says($distribute), qr/^08001 server s3: .*role "nobody_there" does not exist/s, 'a node without the role');
here("ALTER USER MAPPING FOR CURRENT_USER SERVER s3 OPTIONS (SET user '$user')");

on(3, 'ALTER TABLE items RENAME TO things');
like(says($distribute), qr/^42P01 server s3: relation "items" does not exist/, 'a node without the table');
on(3, 'ALTER TABLE things RENAME TO items');

on(3, 'ALTER TABLE items DROP CONSTRAINT items_pkey, ADD COLUMN k bigint NOT NULL DEFAULT 0');
on(3, 'ALTER TABLE items ADD PRIMARY KEY (k, id)');
like(says(q{SELECT streamiter.distribute('other', 'fp', statement => 'SELECT $1')}),
	qr/^22023 part public.items on server s3: its key is \["k", "id"\], and that of part public.fp_0 on this server is \["id"\]/,
	'a node with another key');
is(join(' ', map { on($_, q{SELECT count(*) FROM streamiter.jobs WHERE name LIKE 'other%'}) } 1 .. 3), '0 0 0',
	'... and nothing is left anywhere');

# -- another engine, and names that are no names -----------------------------------------------------

on(3, 'ALTER TABLE items DROP COLUMN k');
on(3, 'ALTER TABLE items ADD PRIMARY KEY (id)');
afresh();
here(q{DO $$ BEGIN EXECUTE (
	SELECT string_agg(replace(pg_get_functiondef(p.oid), 'FUNCTION streamiter_distributed.dblink_', 'FUNCTION streamiter_distributed.another_'), ';')
	FROM pg_proc p WHERE p.oid::regproc::text ~ '^streamiter_distributed.dblink_(open|ask|start|watch|cancel|close)$'); END $$});
here(q{CREATE FUNCTION streamiter_distributed.another_parts(regclass, text[])
	RETURNS SETOF streamiter_distributed.planned_part LANGUAGE sql
	AS $$SELECT 'another', ltrim(s, '@'), NULL, NULL FROM unnest($2) s WHERE s LIKE '@%'$$});
here(q{INSERT INTO streamiter_distributed.engine VALUES ('another', true)});
here($distribute =~ s/'job'/'another'/r =~ s/s1,s2,s3/\@s1,\@s2,\@s3/r);
like(says(q{CALL streamiter.run_parts('another')}), qr/parts 3: 3 finished/, 'an engine is added in SQL alone');
is_done(1, '... and does its work');
is(here(q{SELECT streamiter.drop_parts('another')}), 't', '... to the end');
here(q{DELETE FROM streamiter_distributed.engine WHERE name = 'another'});

my ($job, $table) = (q{q'; "%s" \ {part} $1 --}, q{h"; '{part} %L});
(my $quoted_job = $job) =~ s/'/''/g;
(my $quoted_table = $table) =~ s/"/""/g;
(my $option = $table) =~ s/'/''/g;
here('CREATE TABLE "h\'" (id bigint, v integer) PARTITION BY HASH (id)');
for my $n (1 .. 2)
{
	my ($host, $port) = ($node[$n]->host, $node[$n]->port);
	my $server = qq{"s$n'; DROP TABLE items; -- %I \\"};
	on($n, qq{CREATE TABLE "$quoted_table" (id bigint PRIMARY KEY, v integer DEFAULT 0)});
	on($n, qq{INSERT INTO "$quoted_table" SELECT generate_series(1, 50)});
	here("CREATE SERVER $server FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '$host', port '$port', dbname 'postgres')");
	here("CREATE USER MAPPING FOR CURRENT_USER SERVER $server OPTIONS (user '$user')");
	here(qq{CREATE FOREIGN TABLE "h$n'; --" PARTITION OF "h'" FOR VALUES WITH (MODULUS 2, REMAINDER ${\ ($n - 1)})
		SERVER $server OPTIONS (table_name '$option')});
}
is(here(qq{SELECT streamiter.distribute('$quoted_job', '"h''"', statement => 'UPDATE {part} SET v = v + 1 WHERE id = ANY (\$1)')}),
	2, 'any name will do');
is(here(qq{SELECT string_agg(state, ' ') FROM streamiter.${_}_parts('$quoted_job')}), $_ =~ /pause/ ? 'paused paused' : 'ready ready',
	"... for ${_}_parts()") foreach qw(pause resume reset retry_skipped);
on(1, 'SELECT streamiter.drop_job(name) FROM streamiter.jobs WHERE name LIKE \'q%\'');
is(here(qq{SELECT streamiter.distribute('$quoted_job', acknowledge => true)}), 2, '... a job that is gone');
like(says(qq{CALL streamiter.run_parts('$quoted_job')}), qr/parts 2: 2 finished; rows 100,/, '... run_parts()');
is(on($_, qq{SELECT min(v), max(v), count(*) FROM "$quoted_table"}), '1|1|50', '... each row once') foreach 1, 2;
is(here(qq{SELECT count(*) FROM streamiter.part_states WHERE name = '$quoted_job' AND state = 'finished'}), 2, '... part_states');
on(1, 'SELECT streamiter.drop_job(name) FROM streamiter.jobs WHERE name LIKE \'q%\'');
is(here(qq{SELECT streamiter.drop_parts('$quoted_job')}), 't', '... drop_parts()');
is(on(1, q{SELECT count(*) FROM streamiter.callbacks WHERE name LIKE 'q%'}), 0, '... which drops what was left of one');

# -- rights -----------------------------------------------------------------------------------------

here('GRANT USAGE ON FOREIGN SERVER s1, s2 TO regress_app');
here(q{CREATE USER MAPPING FOR regress_app SERVER s1 OPTIONS (user 'regress_app', password 'a secret')});
here("CREATE USER MAPPING FOR regress_app SERVER s2 OPTIONS (user '$user')");
here('SET ROLE regress_app');
is(here(q{SELECT streamiter.distribute('mine', servers => '{s1}', source => 'SELECT id FROM items', callback => 'work(bigint)')}),
	1, 'who is no superuser needs a password');
like(says(q{CALL streamiter.run_parts('mine')}), qr/parts 1: 1 finished/, '... and then runs jobs as whom it belongs to');
is(on(1, q{SELECT owner FROM streamiter.jobs WHERE name = 'mine'}), 'regress_app', '... on the node');
$told = says(q{SELECT streamiter.distribute('mine', servers => '{s1,s2}')});
like($told, qr/^2F003 server s2: password/, '... which dblink insists on');
like(says(q{SELECT streamiter.distribute('x', servers => '{s3}', source => 'SELECT 1', callback => 'x')}),
	qr/^42501 permission denied for foreign server s3/, 'no right to use a server');
is(here('SELECT count(*) FROM streamiter.distributed_jobs'), 1, 'others are not seen');
like(says(q{CALL streamiter.run_parts('range')}), qr/^42704/, '... nor run');
here('RESET ROLE');
is(here(q{SELECT count(*) FROM streamiter.part_states WHERE name = 'mine'}), 0, 'nobody asks nodes as somebody else');
my $stored = here('SELECT j FROM streamiter.distributed_job j') . here('SELECT p FROM streamiter.part p');
my $host = $node[1]->host;
unlike($stored, qr/\Q$host\E|secret|password/, 'how to connect is stored nowhere');
cmp_ok(scalar(@all_told), '>', 30, 'messages were seen');
unlike("@all_told", qr/secret|(user|password|host|port|dbname) ?=/, '... and none told how to connect');

done_testing();
