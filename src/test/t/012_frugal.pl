# What a job spends: transaction ids per batch and not per row, no more memory
# with each batch, no temporary files; and it holds nothing back between batches.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Session;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('frugal');
$node->init;
$node->append_conf('postgresql.conf', q{
	log_statement = none
	autovacuum = off
	log_temp_files = 0
	work_mem = 64kB});
$node->start;
my $db = Session->new($node);
my $runner = Session->new($node);

my $rows = 20_000;

$db->query($_) for split /^--$/m, qq{
CREATE EXTENSION streamiter;
--
CREATE TABLE t (id integer PRIMARY KEY, n integer NOT NULL DEFAULT 0, bad boolean NOT NULL DEFAULT false)
	WITH (fillfactor = 50);
--
INSERT INTO t SELECT generate_series(1, $rows);
--
CREATE TABLE spent (at timestamptz DEFAULT clock_timestamp(), rows bigint, bytes bigint, xmin_at xid);
--
-- how the runner's process stands, now and then
CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql SET work_mem = '16MB' AS \$\$
BEGIN
	INSERT INTO public.spent (rows, bytes, xmin_at) SELECT NEW.rows, sum(used_bytes),
		(SELECT backend_xmin FROM pg_stat_activity WHERE pid = pg_backend_pid())
	FROM pg_backend_memory_contexts;
	RETURN NULL;
END \$\$;
--
CREATE TRIGGER look AFTER UPDATE ON streamiter.slice FOR EACH ROW
	WHEN (NEW.rows / 1000 > OLD.rows / 1000) EXECUTE FUNCTION look();
--
CREATE FUNCTION work(key integer, bad boolean) RETURNS void LANGUAGE plpgsql AS \$\$
BEGIN
	IF bad THEN
		RAISE EXCEPTION 'bad row';
	END IF;
	UPDATE t SET n = n + 1 WHERE id = key;
END \$\$;
--
SELECT streamiter.register_statement('batch', 'UPDATE t SET n = n + 1 / (CASE WHEN bad THEN 0 ELSE 1 END) WHERE id = ANY (\$1)');
--
SELECT streamiter.register_statement('range', 'UPDATE t SET n = n + 1 / (CASE WHEN bad THEN 0 ELSE 1 END) WHERE id BETWEEN \$1 AND \$2', per => 'range');
--
SELECT streamiter.register_callback('row', 'work(integer, boolean)');
--
SELECT streamiter.register_statement('altering',
	'WITH job AS MATERIALIZED (SELECT streamiter.alter_job(''job'', max_skips => (random() * 1000)::integer))
	UPDATE t SET n = n + (SELECT count(*) FROM job) WHERE id = ANY (\$1)');
--
SELECT streamiter.create_job('job', 'SELECT id, bad FROM t', 'row')};

sub next_xid
{
	return $db->query('SELECT pg_snapshot_xmax(pg_current_snapshot())');
}

# Runs the job over all rows; returns what the job has counted, and xids used
sub run
{
	my %settings = @_;
	my $settings = join ', ', map { "$_ => $settings{$_}" } sort keys %settings;

	$db->query("SELECT streamiter.reset('job')");
	$db->query("SELECT streamiter.alter_job('job', $settings)");
	$db->query('TRUNCATE spent');
	$db->query('VACUUM t');
	my $before = next_xid();
	$runner->query("CALL streamiter.run('job')");
	my $used = next_xid() - $before;
	return ($used, split /\|/, $db->query('SELECT batches, skipped, rows FROM streamiter.jobs'));
}

for my $kind (qw(row batch range))
{
	my ($xids, $batches, $skipped, $done) = run(callback => "'$kind'", chunk_size => 100);

	is("$batches|$done", $rows / 100 . "|$rows", "$kind: all is done");
	cmp_ok($xids, '<=', 2 * $batches + 20, "$kind: $xids transaction ids for $batches batches");
}

# A failing batch costs those that its halves take, not one per row
$db->query('UPDATE t SET bad = id % 2000 = 77');
for my $kind (qw(row batch range))
{
	my ($xids, $batches, $skipped) =
	  run(callback => "'$kind'", chunk_size => 1000, on_error => "'skip'", max_skips => 1000);

	is($skipped, $rows / 2000, "$kind: bad rows are set aside");

	# each of them: an attempt for each halving, the row's own, and setting it aside
	my $attempts = $batches + $skipped * 13;
	cmp_ok($xids, '<=', 2 * $attempts + 20, "$kind: $xids transaction ids for $batches batches and $skipped bad rows");
}
$db->query('UPDATE t SET bad = id % 100 = 77');

for my $case (
	[ 'row', 20 ], [ 'batch', 20 ], [ 'range', 20 ],
	[ 'row', 20, lock_rows => "'update'" ], [ 'batch', 20, lock_rows => "'update'" ],
	[ 'altering', 50 ])
{
	my ($kind, $chunk, %more) = @$case;
	my ($xids, $batches, $skipped) = run(callback => "'$kind'", chunk_size => $chunk,
		on_error => "'skip'", max_skips => 1000, lock_rows => "'none'", %more);
	my ($looks, $first, $last) = split /\|/, $db->query(q{
		SELECT count(*), max(bytes) FILTER (WHERE rows BETWEEN 3000 AND 5999), max(bytes) FILTER (WHERE rows >= 6000)
		FROM spent});

	# fifty bytes for each of some 140 bad rows would be seen
	cmp_ok($last - $first, '<', 5_000,
		"@$case: memory after $batches batches, $skipped bad rows, as at their start");
	note "$first bytes, then at most $last, in $looks looks";
	is($db->query(q{SELECT count(*) FROM (SELECT xmin_at, lag(xmin_at) OVER (ORDER BY at) AS before FROM spent) s
		WHERE age(xmin_at) >= age(before)}), '0', "@$case: the horizon moves on with the batches");
}
unlike(slurp_file($node->logfile), qr/temporary file/, 'no temporary files');

# At rest between two batches: no snapshot, no transaction id, no lock but one
$db->query("SELECT streamiter.reset('job')");
$db->query("SELECT streamiter.alter_job('job', 'range', chunk_size => 200, batch_pause => '1 h')");
$db->query('UPDATE t SET bad = false WHERE bad');
$runner->send("CALL streamiter.run('job')");
my $pid = $runner->pid;
is($db->query_during_wait($pid, "SELECT backend_xid IS NULL, backend_xmin IS NULL FROM pg_stat_activity WHERE pid = $pid"),
	't|t', 'at rest: neither snapshot nor transaction id');
is($db->query_during_wait($pid, "SELECT locktype, classid::regclass, mode FROM pg_locks WHERE pid = $pid AND locktype <> 'virtualxid' ORDER BY mode"),
	"object|pg_extension|AccessShareLock\nobject|streamiter.job|ExclusiveLock", 'at rest: the runner\'s lock, one on the extension and no other');
$db->query("SELECT pg_cancel_backend($pid)");
is($runner->finish->{error}{code}, '57014', 'at rest: a cancel ends it at once');
is($db->query('SELECT state, rows FROM streamiter.jobs'), 'stopped|200', '... and what was committed stays');

$node->stop;
done_testing();
