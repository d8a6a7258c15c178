# What others change between two batches of a run: it is noticed in that run,
# before anything gets lost.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Session;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('changes');
$node->init;
$node->append_conf('postgresql.conf', q{
	log_statement = none
	autovacuum = off});
$node->start;
my $db = Session->new($node);
my $runner = Session->new($node);

$db->query($_) for (
	'CREATE EXTENSION streamiter',
	'CREATE TABLE event (id integer PRIMARY KEY, v text)',
	q{INSERT INTO event SELECT g, 'v' || g FROM generate_series(1, 400) g},
	'CREATE TABLE old (id integer PRIMARY KEY, v text, note text)',
	q{CREATE FUNCTION drop_row() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'});

# A run that rests after each batch; $change is made while it does.  Nothing else
# may change then: after alter_job() the run would look at everything anew.
my $archive = q{CALL streamiter.archive('event', target => 'old', filter => 'id > 0',
	name => 'move', chunk_size => 10)};
sub change_between_batches
{
	my $change = shift;
	my $before = $db->query('SELECT count(*) FROM old');

	$runner->send($archive);
	$db->poll("SELECT count(*) > $before FROM old");
	$db->query($change);
	# no pause for those that are left once it has gone on
	$db->poll("SELECT count(*) > $before + 10 FROM old") if $change =~ /^ANALYZE/;
	$db->query(q{SELECT streamiter.alter_job('move', batch_pause => '0')}) if $change =~ /^ANALYZE/;
	return $runner->finish;
}

$runner->query(q{CALL streamiter.archive('event', target => 'old', filter => 'id > 0',
	name => 'move', chunk_size => 10, max_rows => 10)});
$db->query(q{SELECT streamiter.alter_job('move', batch_pause => '500 ms')});

my $outcome = change_between_batches('ALTER TABLE event ADD note text DEFAULT $$late$$');
is($outcome->{error}{code}, '55000', 'archive: a new column of the source ends the run');
like($outcome->{error}{message}, qr/columns of table "event" are not what they were/, '... which says why');
is($db->query('SELECT count(*) = count(*) FILTER (WHERE note IS NULL), count(*) < 400 FROM old'), 't|t',
	'... and nothing has been moved without it');
$db->query('ALTER TABLE event DROP note');

$outcome = change_between_batches('CREATE TRIGGER t BEFORE INSERT ON old FOR EACH ROW EXECUTE FUNCTION drop_row()');
is($outcome->{error}{code}, '0A000', 'archive: so does a trigger of the target that may drop rows');
is($db->query('SELECT count(*) + (SELECT count(*) FROM event) FROM old'), '400', '... of which none got lost');
$db->query('DROP TRIGGER t ON old');

$outcome = change_between_batches('CREATE TABLE part (id integer REFERENCES event ON DELETE CASCADE)');
is($outcome->{error}{code}, '0A000', 'archive: and a foreign key that deletes');
$db->query('DROP TABLE part');

$outcome = change_between_batches('ALTER TABLE old RENAME TO older');
is($outcome->{error}{code}, '42P01', 'archive: and a target that is gone');
$db->query('ALTER TABLE older RENAME TO old');

$outcome = change_between_batches('ANALYZE event');
is($outcome->{error}, undef, 'archive: what changes nothing does no harm');
is($db->query('SELECT count(*), count(DISTINCT id), (SELECT count(*) FROM event) FROM old'), '400|400|0',
	'... all rows are moved, each once');

# A callback or a table that is dropped between two batches ends the run
my @table = ('CREATE TABLE item AS SELECT g AS id, 0 AS n FROM generate_series(1, 100) g',
	'ALTER TABLE item ADD PRIMARY KEY (id)');
my $work = q{CREATE FUNCTION work(integer) RETURNS void LANGUAGE plpgsql AS
	'BEGIN UPDATE item SET n = n + 1 WHERE id = $1; END'};
for my $workers (1, 2)
{
	for (
		[ 'function', 'DROP FUNCTION work(integer)', '42883', $work ],
		[ 'table', 'DROP TABLE item', '42P01', @table ])
	{
		my ($kind, $drop, $code, @make) = @$_;

		$db->query($_) for ('DROP TABLE IF EXISTS item', 'DROP FUNCTION IF EXISTS work', @table, $work,
			q{SELECT streamiter.create_job('dropped', 'SELECT id FROM item', 'work(integer)',
				chunk_size => 10, batch_pause => '1 s')});
		$runner->send("CALL streamiter.run('dropped', workers => $workers)");
		$db->poll(q{SELECT rows > 0 FROM streamiter.jobs WHERE name = 'dropped'});
		$db->query($drop);
		$outcome = $runner->finish;
		is($outcome->{error}{code}, $code, "a $kind that is dropped ends the run of $workers");
		is($db->query(q{SELECT state, sqlstate, rows < 100 FROM streamiter.jobs WHERE name = 'dropped'}),
			"failed|$code|t", '... and fails the job');
		$db->query($_) for (@make,
			q{SELECT streamiter.alter_job('dropped', batch_pause => '0', acknowledge => true)});
		$db->query("CALL streamiter.run('dropped', workers => $workers)");
		is($db->query(q{SELECT state, rows FROM streamiter.jobs WHERE name = 'dropped'}), 'finished|100',
			'... which goes on when there is one again');
		is($db->query('SELECT max(n) FROM item'), '1', '... and does no row twice');
		$db->query(q{SELECT streamiter.drop_job('dropped')});
	}
}
$db->query($_) for ('DROP TABLE item', 'DROP FUNCTION work');

# DROP EXTENSION waits for the run, between its batches too
$db->query($_) for (
	@table,
	q{SELECT streamiter.register_statement('count', 'UPDATE item SET n = n + 1 WHERE id = ANY ($1)')},
	q{SELECT streamiter.create_job('job', 'SELECT id FROM item', 'count', chunk_size => 10, batch_pause => '1 h')});
$runner->send(q{CALL streamiter.run('job')});
$db->poll(q{SELECT rows = 10 FROM streamiter.jobs WHERE name = 'job'});

my $dropper = Session->new($node, lock_timeout => '200ms');
is($dropper->try('DROP EXTENSION streamiter')->{error}{code}, '55P03', 'DROP EXTENSION waits for a run');
$dropper->query(q{SET lock_timeout = 0});
$dropper->send('DROP EXTENSION streamiter');
$db->poll('SELECT wait_event_type = $$Lock$$ FROM pg_stat_activity WHERE pid = ' . $dropper->pid);

# another run would have to wait for that: it says so instead
my $other = Session->new($node);
$other->query(q{SELECT streamiter.create_job('other', 'SELECT id FROM item', 'count')});
is($other->try(q{CALL streamiter.run('other')})->{error}{code}, '55006', '... and no other begins meanwhile');

$db->query(q{SELECT streamiter.alter_job('job', batch_pause => '0')});
is($runner->finish->{error}, undef, '... which ends as if nothing had been');
is($dropper->finish->{error}, undef, '... and then it is dropped');
is($db->query('SELECT count(*), sum(n) FROM item'), '100|100', '... with all the work done');
like($runner->try(q{CALL streamiter.run('job')})->{error}{message}, qr/streamiter.*does not exist/, 'no extension, no run');

# A callback that drops it is undone
$db->query($_) for (
	'CREATE EXTENSION streamiter',
	q{CREATE FUNCTION drop_it(integer) RETURNS void LANGUAGE plpgsql AS
		'BEGIN UPDATE item SET n = n + 1 WHERE id = $1; IF $1 > 50 THEN DROP EXTENSION streamiter; END IF; END'},
	q{SELECT streamiter.create_job('job', 'SELECT id FROM item', 'drop_it(integer)', chunk_size => 10)});
isnt($runner->try(q{CALL streamiter.run('job')})->{error}, undef, 'a callback cannot drop the extension');
is($db->query('SELECT state, rows, (SELECT sum(n) FROM item) FROM streamiter.jobs'), 'failed|50|150',
	'... the batch that tried is undone');

$node->stop;
done_testing();
