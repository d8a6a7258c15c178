# What a walk costs, counted and not timed: statements, whatever chunk_size is; and
# hundreds of sessions that walk at the same time.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Session;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('counts');
$node->init;
$node->append_conf('postgresql.conf', q{
	log_statement = none
	log_connections = off
	log_disconnections = off
	log_temp_files = 0
	max_connections = 600
	shared_buffers = 64MB
	autovacuum = off
	jit = off
	shared_preload_libraries = 'pg_stat_statements'
	pg_stat_statements.track = all
	pg_stat_statements.max = 5000});
$node->start;

my $rows = 10_000;
my $db = Session->new($node);
my $counted = $db->query(
	"SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'pg_stat_statements')") eq 't';

$db->query($_) for split /^--$/m, qq{
CREATE EXTENSION streamiter;
--
CREATE TABLE item (id bigint PRIMARY KEY, v integer NOT NULL DEFAULT 0, name text NOT NULL) WITH (fillfactor = 50);
--
INSERT INTO item SELECT g * 10, 0, 'item ' || g FROM generate_series(1, $rows) g;
--
CREATE FUNCTION plain(bigint) RETURNS void LANGUAGE plpgsql AS 'BEGIN END';
--
CREATE FUNCTION take_rows(bigint[]) RETURNS void LANGUAGE plpgsql AS 'BEGIN END';
--
SELECT streamiter.register_callback('batch function', 'take_rows(bigint[])', per => 'batch');
--
SELECT streamiter.register_statement('batch statement', 'UPDATE item SET v = v + 1 WHERE id = ANY (\$1)');
--
SELECT streamiter.register_callback('row function', 'plain(bigint)');
};
$db->query('VACUUM ANALYZE item');

# What a statement returns, and how many statements it makes the server execute,
# those inside included
sub cost
{
	my ($sql) = @_;

	$db->query('SELECT pg_stat_statements_reset()');
	my $result = $db->query($sql);
	return ($result, $db->query(
		"SELECT sum(calls) FROM pg_stat_statements WHERE query NOT LIKE '%pg_stat_statements%'"));
}

SKIP:
{
	skip 'needs pg_stat_statements', 1 if !$counted;
	$db->query('CREATE EXTENSION pg_stat_statements');

	# A walk: its own statement and the source, whatever chunk_size is, and one per
	# batch where the callback is one; looking its name up is another
	for my $case (
		[ 'plain(bigint)', 0, 2 ], [ 'row function', 0, 3 ],
		[ 'batch function', 0, 3 ], [ 'batch statement', 1, 3 ])
	{
		my ($callback, $per_batch, $per_walk) = @$case;

		for my $chunk (1, 10, 1000)
		{
			for my $limit (10, 5000)
			{
				my $batches = $limit < $chunk ? 1 : $limit / $chunk;
				my $walk = "SELECT rows, batches FROM streamiter.for_each("
				  . "'SELECT id FROM item LIMIT $limit', '$callback', chunk_size => $chunk)";

				$db->query($walk);		# what is done once in a session
				my ($result, $calls) = cost($walk);
				is("$result $calls", "$limit|$batches " . ($per_walk + $per_batch * $batches),
					"$callback, $limit rows in batches of $chunk: statements of a walk");
			}
		}
	}
}

# Five hundred sessions walk a thousand rows each, all at once and twice,
# and look what it left in them
my $sessions = 500;
append_to_file($node->basedir . '/walk.sql', q{
SELECT 1 / (rows = 1000)::integer FROM streamiter.for_each('SELECT id FROM item WHERE id <= 10000', 'plain(bigint)', chunk_size => 100);
SELECT 1 / (rows = 1000)::integer FROM streamiter.for_each('SELECT id FROM item WHERE id <= 10000', 'batch function', chunk_size => 300, on_error => 'skip');
SELECT 1 / (count(*) = 0)::integer FROM pg_cursors;
SELECT 1 / (count(*) = 0)::integer FROM pg_backend_memory_contexts WHERE name LIKE 'streamiter%';
SELECT 1 / (count(*) = 0)::integer FROM pg_locks WHERE pid = pg_backend_pid() AND relation = 'item'::regclass;
});
my $log = -s $node->logfile;
$node->command_checks_all(
	[ 'pgbench', '-n', '-c', $sessions, '-j', 2, '-t', 2, '-f', $node->basedir . '/walk.sql' ],
	0,
	[ qr{transactions actually processed: @{[ $sessions * 2 ]}/@{[ $sessions * 2 ]}$}m ],
	[ qr{^(?!.*(?:error|abort))}is ],
	"$sessions sessions walk");
$db->poll(q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'client backend'});
is($db->query("SELECT count(*) FROM pg_locks WHERE pid <> pg_backend_pid()"), '0', '... and leave no lock');
is($db->query(q{SELECT count(*) FROM streamiter.progress}), '0', '... and nothing to watch');
unlike(slurp_file($node->logfile, $log), qr/WARNING|ERROR|temporary file/, '... and nothing in the log');

$node->stop;
done_testing();
