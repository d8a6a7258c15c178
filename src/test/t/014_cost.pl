# What a batch costs, counted: so many statements, and at the end of a big table
# as many blocks as at its start.  COST_ROWS=10000000 makes it ten times as big.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Session;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('cost');
$node->init;
$node->append_conf('postgresql.conf', q{
	shared_preload_libraries = 'pg_stat_statements'
	pg_stat_statements.track = all
	max_parallel_workers_per_gather = 0
	max_parallel_maintenance_workers = 0
	log_statement = none
	wal_level = minimal
	max_wal_senders = 0
	autovacuum = off});
$node->start;
my $db = Session->new($node);

my $rows = $ENV{COST_ROWS} // 1_000_000;
my $chunk = 2000;
$Session::patience = 1800 if $rows > 1_000_000;

$db->query($_) for split /^--$/m, qq{
CREATE EXTENSION streamiter;
--
CREATE EXTENSION pg_stat_statements;
--
CREATE TABLE small AS SELECT g AS id, 0 AS n FROM generate_series(1, 1000) g;
--
ALTER TABLE small ADD PRIMARY KEY (id);
--
CREATE TABLE big AS SELECT g AS id, g / 1000 AS part, md5(g::text) AS name FROM generate_series(1, $rows) g;
--
ALTER TABLE big ADD PRIMARY KEY (id), ADD UNIQUE (part, id), ALTER part SET NOT NULL;
--
VACUUM ANALYZE big;
--
CREATE TABLE old AS SELECT g AS id FROM generate_series(1, 200000) g;
--
ALTER TABLE old ADD PRIMARY KEY (id);
--
CREATE VIEW v AS SELECT id, name FROM big WHERE name IS NOT NULL;
--
CREATE TABLE spent (rows bigint, blocks bigint);
--
-- all that the process has had from these tables and their indexes
CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS \$\$
BEGIN
	INSERT INTO public.spent SELECT NEW.rows, sum(pg_stat_get_xact_blocks_fetched(oid))
	FROM pg_class WHERE relname IN ('big', 'big_pkey', 'big_part_id_key', 'old', 'old_pkey');
	RETURN NULL;
END \$\$;
--
CREATE FUNCTION ignore(integer) RETURNS void LANGUAGE plpgsql AS 'BEGIN END';
--
SELECT streamiter.register_callback('row', 'ignore(integer)');
--
SELECT streamiter.register_statement('update keys', 'UPDATE small SET n = n + 1 WHERE id = ANY (\$1)');
--
SELECT streamiter.register_statement('update range', 'UPDATE small SET n = n + 1 WHERE id BETWEEN \$1 AND \$2', per => 'range');
--
SELECT streamiter.register_statement('count keys', 'SELECT count(name) FROM big WHERE id = ANY (\$1)');
--
SELECT streamiter.register_statement('count range', 'SELECT count(name) FROM big WHERE id BETWEEN \$1 AND \$2', per => 'range');
--
SELECT streamiter.register_statement('count pairs',
	'SELECT count(name) FROM big WHERE (part, id) BETWEEN (\$1, \$2) AND (\$3, \$4)', per => 'range')};

# How often which statements run, those that run but once or twice left out
sub statements
{
	my $sql = shift;

	$db->query('SELECT pg_stat_statements_reset()');
	$db->query($sql);
	return $db->query(q{SELECT calls, CASE WHEN query ~ 'FROM streamiter.job ' THEN 'look at the job'
			WHEN query ~ '^UPDATE streamiter.slice SET position' THEN 'save the position'
			WHEN query ~ '^SELECT source_1' THEN 'read the source'
			WHEN query ~ '^UPDATE small' THEN 'call' ELSE query END AS what
		FROM pg_stat_statements WHERE calls > 5});
}

for my $kind ('update keys', 'update range')
{
	# whether or not the last one is full: there is no reading on to find the end
	for my $chunk_size (100, 111)
	{
		$db->query("SELECT streamiter.create_job('job', 'SELECT id FROM small', '$kind', chunk_size => $chunk_size)");

		my $batches = int((1000 + $chunk_size - 1) / $chunk_size);
		my %calls = map { reverse split /\|/ } split /\n/, statements(q{CALL streamiter.run('job')});
		is(delete $calls{call}, $batches, "$kind: called once for each of $batches batches");
		is(delete $calls{'save the position'}, $batches, '... the position saved once');

		# the first batch has no lower bound, so its statement is another
		is(delete $calls{'read the source'}, $batches - 1, '... the source read once');
		cmp_ok(delete $calls{'look at the job'}, '<=', $batches + 6, '... the job looked at once, and when the run begins and ends');
		is(join(', ', keys %calls), '', '... and nothing else done');
		$db->query(q{SELECT streamiter.drop_job('job')});
	}
}

# Blocks per batch, on average over 20 batches near the start and at the end
$db->query(q{CREATE TRIGGER look AFTER UPDATE ON streamiter.slice FOR EACH ROW EXECUTE FUNCTION look()});
for my $case (
	[ 'SELECT id FROM big', 'row' ],
	[ 'SELECT id FROM big', 'count keys' ],
	[ 'SELECT id FROM big', 'count range' ],
	[ 'SELECT part, id FROM big', 'count pairs', q{key => '{part,id}'} ],
	[ 'SELECT id FROM v', 'count range', q{key => '{id}'} ])
{
	my ($source, $callback, $more) = @$case;
	my $batches = $rows / $chunk;

	$db->query("SELECT streamiter.create_job('job', '$source', '$callback', "
		. ($more // "chunk_size => $chunk") . ')');
	$db->query('TRUNCATE spent');
	$db->query(q{CALL streamiter.run('job')});
	my ($count, $start, $end) = split /\|/, $db->query(qq{
		SELECT max(n), avg(blocks) FILTER (WHERE n BETWEEN 5 AND 24), avg(blocks) FILTER (WHERE n > $batches - 20)
		FROM (SELECT row_number() OVER w AS n, blocks - lag(blocks) OVER w AS blocks
			FROM spent WINDOW w AS (ORDER BY rows)) s});

	is($count, $batches, "$callback on $source: $batches batches");
	ok($start > 0 && $end <= 1.2 * $start && $end >= $start / 1.2,
		sprintf '... %.0f blocks for one at the start, %.0f at the end', $start, $end);
	$db->query(q{SELECT streamiter.drop_job('job')});
}

# What has been deleted is not looked at again, though vacuum has not been there
{
	my $batches = 200_000 / $chunk;

	$db->query('TRUNCATE spent');
	$db->query(qq{CALL streamiter.purge('old', filter => 'id % 10 > 0', chunk_size => $chunk)});
	my ($start, $end) = split /\|/, $db->query(qq{
		SELECT avg(blocks) FILTER (WHERE n BETWEEN 5 AND 24), avg(blocks) FILTER (WHERE n > $batches - 20)
		FROM (SELECT row_number() OVER w AS n, blocks - lag(blocks) OVER w AS blocks
			FROM spent WINDOW w AS (ORDER BY rows)) s});
	ok($start > 0 && $end <= 1.2 * $start && $end >= $start / 1.2,
		sprintf 'purge: %.0f blocks for a batch at the start, %.0f at the end', $start, $end);
}

$node->stop;
done_testing();
