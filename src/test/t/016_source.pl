# What others do to the source's tables while a job is run: no row is passed over
# because it was written anew, and another table is not taken for the one it was.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Session;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('source');
$node->init;
$node->append_conf('postgresql.conf', 'autovacuum = off');
$node->start;
my ($db, $other) = map { Session->new($node) } 1 .. 2;
my $rows = 400;

$db->query($_) for (
	'CREATE EXTENSION streamiter',
	'CREATE TABLE item (id integer PRIMARY KEY, v integer NOT NULL DEFAULT 0, d integer DEFAULT 0)',
	"INSERT INTO item SELECT g FROM generate_series(1, $rows) g",
	'CREATE TABLE bad (id integer)',
	q{CREATE FUNCTION work(key integer) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		IF EXISTS (SELECT FROM bad WHERE id = key) THEN
			RAISE EXCEPTION 'row % is bad', key;
		END IF;
		UPDATE item SET v = v + 1 WHERE id = key;
	END $$},
	q{SELECT streamiter.register_statement('add', 'UPDATE item SET v = v + 1 WHERE id BETWEEN $1 AND $2', per => 'range')});

sub create_job
{
	my ($callback, $settings, $source) = @_;

	$source //= 'SELECT id FROM item';
	$db->query(q{SELECT streamiter.drop_job(name) FROM streamiter.jobs});
	$db->query("SELECT streamiter.create_job('job', '$source', '$callback', chunk_size => 50, batch_pause => '300 ms'$settings)");
	return;
}

# Begin a run; when it has come somewhere, $change is made while it rests or,
# where that takes such a lock, waits for it.  Returns what became of the run.
sub change_while_run
{
	my ($change, $arguments, %settings) = @_;
	my $runner = Session->new($node, %settings);

	$runner->send("CALL streamiter.run('job'$arguments)");
	$db->poll(q{SELECT state = 'running' AND rows > 0 AND NOT EXISTS (SELECT FROM streamiter.skipped HAVING count(*) = 4) FROM streamiter.jobs});
	$other->query($_) for 'BEGIN', $change;
	$db->poll('SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND pid = ' . $runner->pid . ')') if $change !~ /^CREATE/;
	$other->query('COMMIT');
	return $runner->finish;
}

# -- written anew -----------------------------------------------------------------

my $type = 'bigint';
sub rewrite { $type = $type eq 'bigint' ? 'integer' : 'bigint'; return "ALTER TABLE item ALTER d TYPE $type"; }

for (
	[ 'row function', 'work(integer)', '', '' ],
	[ 'range statement', 'add', '', '' ],
	[ 'locked rows', 'work(integer)', q{, lock_rows => 'update'}, '' ],
	[ 'serializable', 'work(integer)', '', '', default_transaction_isolation => 'serializable' ],
	[ 'repeatable read', 'add', '', '', default_transaction_isolation => 'repeatable\ read' ],
	[ 'two processes', 'work(integer)', '', ', workers => 2' ])
{
	my ($name, $callback, $settings, $arguments, %session) = @$_;

	$db->query('UPDATE item SET v = 0');
	create_job($callback, $settings);
	my $outcome = change_while_run(rewrite(), $arguments, %session);
	is($outcome->{error}, undef, "$name: a rewritten table is waited for");
	is($db->query('SELECT state, rows FROM streamiter.jobs'), "finished|$rows", '... and walked to its end');
	is($db->query('SELECT min(v), max(v), count(*) FROM item'), "1|1|$rows", '... each row once');
}

$db->query('UPDATE item SET v = 0');
$db->query('INSERT INTO bad SELECT g FROM generate_series(1, 400, 100) g');
create_job('work(integer)', q{, on_error => 'skip'});
$db->query($_) for (
	q{CALL streamiter.run('job')},
	'TRUNCATE bad',
	q{SELECT streamiter.retry_skipped('job')});
is(change_while_run(rewrite(), '')->{error}, undef, 'rows tried again: so it is then');
is($db->query('SELECT min(v), max(v), (SELECT count(*) FROM streamiter.skipped) FROM item'), '1|1|0', '... and none is taken for gone');

# -- another one in its place --------------------------------------------------------

for (
	[ 'renamed', 'ALTER TABLE item RENAME TO old; CREATE TABLE item (LIKE old INCLUDING ALL)', '55000', qr/is not what it was/,
		'DROP TABLE item; ALTER TABLE old RENAME TO item' ],
	[ 'made anew', q{DROP TABLE item; CREATE TABLE item (id integer PRIMARY KEY, v integer DEFAULT 0);
		INSERT INTO item SELECT g FROM generate_series(1, 400) g}, '55000', qr/is not what it was/, 'SELECT' ],
	[ 'given a child', 'CREATE TABLE child () INHERITS (item)', '55000', qr/would read more of the source|no longer proven unique/, 'DROP TABLE child' ])
{
	my ($name, $change, $code, $message, $undo) = @$_;

	$db->query('UPDATE item SET v = 0');
	create_job('work(integer)', '');
	my $outcome = change_while_run($change, '');
	is($outcome->{error}{code}, $code, "$name: the run ends");
	like($outcome->{error}{message}, $message, '... and says why');
	is($db->query(q{SELECT state, rows < 400 FROM streamiter.jobs}), 'failed|t', '... and is not taken for finished');
	$other->query($undo);
}

# A partition that comes meanwhile is no other table, and is locked like the others
$db->query($_) for (
	'CREATE TABLE parted (id integer PRIMARY KEY, v integer NOT NULL DEFAULT 0) PARTITION BY RANGE (id)',
	'CREATE TABLE part1 PARTITION OF parted FOR VALUES FROM (1) TO (201)',
	'INSERT INTO parted SELECT g FROM generate_series(1, 200) g',
	q{CREATE FUNCTION work_parted(key integer) RETURNS void LANGUAGE sql AS 'UPDATE parted SET v = v + 1 WHERE id = key'});
create_job('work_parted(integer)', '', 'SELECT id FROM parted');
is(change_while_run('CREATE TABLE part2 PARTITION OF parted FOR VALUES FROM (201) TO (401)', '')->{error},
	undef, 'a new partition');
is($db->query('SELECT min(v), max(v), count(*) FROM parted'), '1|1|200', '... and each row once');

# Joins have no table of their own; theirs are looked at all the same
$db->query($_) for (
	'CREATE TABLE pair (id integer PRIMARY KEY)',
	"INSERT INTO pair SELECT g FROM generate_series(1, $rows) g");
create_job('work(integer)', q{, key => '{id}'}, 'SELECT i.id FROM item i JOIN pair p ON p.id = i.id');
$db->query(q{SELECT streamiter.alter_job('job', batch_pause => '0')});
$db->query(q{CALL streamiter.run('job', max_rows => 100)});
$db->query('TRUNCATE pair');
$db->query("INSERT INTO pair SELECT g FROM generate_series(1, $rows) g");
like($db->try(q{CALL streamiter.run('job', max_rows => 100)})->{notices}[0]{detail}, qr/rewritten or truncated/,
	'a join: a table that was emptied is told');
$db->query($_) for 'DROP TABLE pair', 'CREATE TABLE pair (id integer PRIMARY KEY)';
my $outcome = $db->try(q{CALL streamiter.run('job')});
is($outcome->{error}{code}, '55000', 'a join: another table is refused');
like($outcome->{error}{detail}, qr/^The tables of the source were \d+ public.item, \d+ public.pair and are/, '... by name');

$node->stop;
done_testing();
