# Memory of a walk is flat: five million rows need no more than fifty thousand,
# whichever way the callback is called; and wide rows make batches shorter.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Session;
use Test::More;

plan skip_all => 'needs /proc' if !-r "/proc/$$/status";

my $node = PostgreSQL::Test::Cluster->new('memory');
$node->init;
$node->append_conf('postgresql.conf', q{
	log_statement = none
	shared_buffers = 1MB		# they count as memory of each backend
	jit = off});
$node->start;
my $db = Session->new($node);
my $native = $db->query(
	"SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'streamiter_native')") eq 't';

$db->query(q{
	CREATE EXTENSION streamiter;
	CREATE FUNCTION take(integer) RETURNS void LANGUAGE plpgsql AS 'BEGIN END';
	CREATE FUNCTION take_text(text) RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN upper($1); END';
	CREATE FUNCTION take_all(integer[]) RETURNS void LANGUAGE plpgsql AS 'BEGIN END';
	CREATE FUNCTION take_texts(text[]) RETURNS void LANGUAGE plpgsql AS 'BEGIN END';
	SELECT streamiter.register_callback('take all', 'take_all(integer[])', per => 'batch');
	SELECT streamiter.register_callback('take texts', 'take_texts(text[])', per => 'batch');
	SELECT streamiter.register_statement('take in SQL', 'SELECT cardinality($1)');
	CREATE FUNCTION pull(query text) RETURNS bigint LANGUAGE plpgsql AS $$
	DECLARE
		it refcursor := streamiter.iterator(query);
		n bigint;
		total bigint := 0;
	BEGIN
		LOOP
			SELECT count(*) INTO n FROM streamiter.next_batch(it, NULL::integer);
			EXIT WHEN n = 0;
			total := total + n;
		END LOOP;
		RETURN total;
	END
	$$;
	CREATE TABLE wide (id integer, plain text, packed text);
	ALTER TABLE wide ALTER plain SET STORAGE EXTERNAL;
	INSERT INTO wide SELECT g, repeat('x', 1000000), repeat('x', 100000) FROM generate_series(1, 100) g});
$db->query('CREATE EXTENSION streamiter_native') if $native;

# What a statement returns, and how many kB its backend has had at most
sub run_alone
{
	my ($sql, %settings) = @_;
	my $session = Session->new($node, %settings);
	my $result = $session->query($sql);
	my ($peak) = slurp_file('/proc/' . $session->pid . '/status') =~ /^VmHWM:\s*(\d+) kB/m;

	return ($result, $peak);
}

# %s: a source of so many rows, made on the fly
my $series = 'SELECT generate_series(1, %s)';
my $columns = 'SELECT a, b FROM (SELECT generate_series(1, %s) a, 0 b OFFSET 0) s WHERE a > b';
my %walks = (
	'in the plan' => for_each($columns =~ s/a, b/a/r, 'take(integer)'),
	'row by row' => for_each($series, 'take(integer)'),
	'with a string per row' => for_each('SELECT generate_series(1, %s)::text', 'take_text(text)'),
	'batch function' => for_each($series, 'take all'),
	'batch statement' => for_each($series, 'take in SQL'),
	'skipping rows' => for_each($series, 'take(integer)', "on_error => 'skip'"),
	'skipping halves' => for_each($series, 'take all', "on_error => 'skip'"),
	'iterator' => "SELECT pull('$series')",
);
$walks{'native'} = for_each($series, 'streamiter_native_count(internal)') if $native;
$walks{'native batch'} = for_each($series, 'streamiter_native_count_batch(internal)') if $native;

sub for_each
{
	my ($source, $callback, @more) = @_;
	my $arguments = join ', ', "'$source'", "'$callback'", @more;

	return "SELECT rows, peak_batch_bytes FROM streamiter.for_each($arguments)";
}

for my $walk (sort keys %walks)
{
	my ($small, $small_peak) = run_alone(sprintf $walks{$walk}, 50_000);
	my ($large, $large_peak) = run_alone(sprintf $walks{$walk}, 5_000_000);

	is($large, $small =~ s/^50000/5000000/r, "$walk: same peak of batches");
	cmp_ok($large_peak - $small_peak, '<', 1024,
		"$walk: same peak of the backend, $small_peak and $large_peak kB");
}

sub temporary_files
{
	$db->query('SELECT pg_stat_force_next_flush()');
	return $db->query('SELECT temp_files FROM pg_stat_database WHERE datname = current_database()');
}
is(temporary_files(), '0', 'no temporary files');

# Wide rows: as they are, toasted, and compressed.  Arrays and what is made of
# them hold a batch several times.
my $limit = 4;					# MB
my (undef, $base) = run_alone("SELECT rows FROM streamiter.for_each('SELECT id FROM wide', 'take(integer)')");
for (
	[ 'made', 100, 'SELECT repeat(plain, 1) FROM wide' ],
	[ 'toasted', 100, 'SELECT plain FROM wide' ],
	[ 'compressed', 100 / 10, 'SELECT packed FROM wide' ])
{
	my ($kind, $megabytes, $source) = @$_;

	for my $callback ('take_text(text)', 'take texts', 'take in SQL')
	{
		for my $more ('', ", on_error => 'skip'")
		{
			my ($result, $peak) = run_alone(
				"SELECT rows, batches, peak_batch_bytes FROM streamiter.for_each('$source', '$callback'$more)",
				'streamiter.max_batch_memory' => "${limit}MB");
			my ($rows, $batches, $bytes) = split /\|/, $result;
			my $name = "$kind, $callback$more";

			is($rows, 100, "$name: all rows");
			cmp_ok($bytes, '<', 4 * $limit * 1024**2, "$name: batches are limited");
			cmp_ok($peak - $base, '<', 6 * $limit * 1024, "$name: and so is the backend");
		}
	}
}

is(temporary_files(), '0', 'no temporary files');
$node->stop;

done_testing();
