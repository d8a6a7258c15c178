# The disk is full: an error that says so, no half file, no row set aside.  The
# folder of the export, the server's temporary files and a tablespace are on small
# disks in memory, which a server in namespaces of its own can have without any
# right.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Session;
use Test::More;

my $dir = PostgreSQL::Test::Utils::tempdir();
plan skip_all => 'needs user and mount namespaces'
  if system("unshare -r -m sh -c 'mount -t tmpfs -o size=1m none $dir && unshare -U --map-user=1000 --map-group=1000 true' 2>/dev/null") != 0;

my $node = PostgreSQL::Test::Cluster->new('disk_full');
$node->init;
$node->append_conf('postgresql.conf', "jit = off\nlog_temp_files = -1");
my $data = $node->data_dir;
my $temp = "$data/base/pgsql_tmp";
mkdir $temp or die "$temp: $!\n";
my $tables = PostgreSQL::Test::Utils::tempdir();

my $pid = fork // die "fork: $!\n";
if ($pid == 0)
{
	open STDIN, '<', '/dev/null' or die "no input: $!\n";
	open STDOUT, '>>', $node->logfile or die "no log: $!\n";
	open STDERR, '>&', \*STDOUT or die "no log: $!\n";
	exec 'unshare', '-r', '-m', 'sh', '-c',
	  "mount -t tmpfs -o size=1m none '$dir' && mount -t tmpfs -o size=8m none '$temp' && "
	  . "mount -t tmpfs -o size=24m none '$tables' && "
	  . "exec unshare -U --map-user=1000 --map-group=1000 postgres -D '$data'"
	  or die "unshare: $!\n";
}
my $db = Session->wait_for_server($node);
$db->query('CREATE EXTENSION streamiter');
my $xlsx = !$db->try("SELECT streamiter.export('SELECT 1', '$dir/try.xlsx', 'xlsx')")->{error};

# Rows of the first sheet, if each part of the workbook is whole
my $reader = <<'PYTHON';
import sys, xml.etree.ElementTree, zipfile
book = zipfile.ZipFile(sys.argv[1])
for name in book.namelist():
    xml.etree.ElementTree.fromstring(book.read(name))
print(book.read("xl/worksheets/sheet1.xml").count(b"<row "))
PYTHON

sub rows_of_workbook
{
	my $path = PostgreSQL::Test::Utils::tempdir() . '/book.xlsx';

	append_to_file($path, pack 'H*', $db->query("SELECT encode(pg_read_binary_file('$dir/file.xlsx'), 'hex')"));
	IPC::Run::run([ '/usr/bin/python3', '-c', $reader, $path ], '>', \my $output, '2>&1');
	chomp $output;
	return $output;
}

for my $format ('csv', 'jsonl', $xlsx ? 'xlsx' : ())
{
	my $export = sub {
		my ($rows) = @_;
		return $db->try("SELECT rows FROM streamiter.export('SELECT g, md5(g::text) a, md5((-g)::text) b FROM generate_series(1, $rows) g', '$dir/file.$format', '$format')");
	};
	my $free = sub { return $db->query("SELECT count(*) FROM pg_ls_dir('base/pgsql_tmp')"); };

	is($export->(10)->{rows}[0][0], 10, "$format: some rows");
	my $before = $db->query("SELECT md5(pg_read_binary_file('$dir/file.$format')::text)");
	my $error = $export->(30_000)->{error};
	is($error->{code}, '53100', "$format: more than the disk can hold");
	like($error->{message}, qr/No space left on device/, 'and the error says so');
	is($db->query("SELECT count(*) FROM pg_ls_dir('$dir') f WHERE f LIKE '%.streamiter'"), '0', 'no half file');
	is($db->query("SELECT md5(pg_read_binary_file('$dir/file.$format')::text)"), $before, 'the old one is as it was');
	is($free->(), '0', 'no temporary file');
	is($export->(20)->{rows}[0][0], 20, 'and there is room again');
	$db->query("COPY (SELECT) TO '$dir/file.$format'");
}

# The disk of temporary files, with ever less room on it: a workbook is whole, or
# there is an error
if ($xlsx)
{
	my ($good, $full) = (0, 0);

	for my $used (map { 7_100_000 + 40_000 * $_ } 0 .. 32)
	{
		$db->query("COPY (SELECT repeat('x', $used - 1)) TO '$temp/filler'");
		my $outcome = $db->try("SELECT streamiter.export('SELECT g, md5(g::text) a FROM generate_series(1, 5000) g', '$dir/file.xlsx', 'xlsx')");
		if ($outcome->{error})
		{
			$full++;
			is($outcome->{error}{code}, '53100', "$used bytes are taken: full");
		}
		else
		{
			$good++;
			is(rows_of_workbook(), '5001', "$used bytes are taken: whole");
		}
	}
	cmp_ok($good, '>', 0, 'there was enough room');
	cmp_ok($full, '>', 0, 'and there was not');
	is($db->query("SELECT count(*) FROM pg_ls_dir('base/pgsql_tmp') f WHERE f <> 'filler'"), '0', 'no temporary file');
}

# Others fill that disk while the rows are packed: beyond the first 100 kB of the
# file
if ($xlsx)
{
	my $packing = Session->new($node);
	my ($done, $error) = (1);

	for my $attempt (1 .. 50)
	{
		$db->query("COPY (SELECT) TO '$_'") for "$temp/filler", "$dir/file.xlsx";
		$packing->send("SELECT streamiter.export('SELECT g, md5(g::text) a FROM generate_series(1, 20000) g', '$dir/file.xlsx', 'xlsx')");
		until ($db->query("SELECT count(*) FROM pg_stat_file('$dir/file.xlsx.streamiter', true) f WHERE f.size > 100000") > 0)
		{
			last if $packing->done(0);
		}
		kill 'STOP', $packing->pid;
		$done = $packing->done(0);
		$db->try("COPY (SELECT repeat('x', 1000) FROM generate_series(1, 9000)) TO '$temp/filler'");
		kill 'CONT', $packing->pid;
		$error = $packing->finish->{error};
		last if $error;
		# it was stopped when it wanted no more room
		is(rows_of_workbook(), '20001', 'too late to do harm: whole');
	}
	ok(!$done, 'a disk that gets full while a workbook is packed');
	is($error->{code}, '53100', 'is an error');
	is($db->query("SELECT count(*) FROM pg_ls_dir('$dir') f WHERE f LIKE '%.streamiter'"), '0', 'no half file');
}

# Tables get no more room: for a job or a walk that is no fault of the row's.  The
# callback makes the walked table grow, or writes to another
$db->query("CREATE TABLESPACE small LOCATION '$tables'");
for my $case (
	[ 'the walked table', 'small', q{UPDATE work SET n = n + 1, v = repeat('x', 7000) WHERE id = $1} ],
	[ 'another table', 'pg_default', q{UPDATE work SET n = n + 1 WHERE id = $1; INSERT INTO copy VALUES ($1, repeat('x', 7000))} ])
{
	my ($name, $space, $work) = @$case;

	$db->query($_) for (
		"CREATE TABLE work (id integer PRIMARY KEY, n integer DEFAULT 0, v text) TABLESPACE $space",
		'CREATE TABLE copy (id integer, v text) TABLESPACE small',
		'CREATE TABLE filler (v text) TABLESPACE small',
		(map { "ALTER TABLE $_ ALTER v SET STORAGE PLAIN" } qw(work copy filler)),
		'INSERT INTO work SELECT generate_series(1, 2000)',
		q{INSERT INTO filler SELECT repeat('x', 7000) FROM generate_series(1, 2000)},
		"CREATE OR REPLACE FUNCTION work_on(integer) RETURNS void LANGUAGE sql AS \$\$ $work \$\$",
		q{SELECT streamiter.create_job('job', 'SELECT id FROM work', 'work_on(integer)', chunk_size => 20, on_error => 'skip')});
	my $truth = sub { return $db->query('SELECT rows, sum(n) = rows, max(n) FROM work, streamiter.jobs GROUP BY rows'); };

	my $error = $db->try(q{CALL streamiter.run('job')})->{error};
	is($error->{code}, '53100', "$name: no room");
	like($error->{message}, qr/No space left on device/, '... of which the job tells');
	is($db->query('SELECT state, sqlstate, skipped, (SELECT count(*) FROM streamiter.skipped) FROM streamiter.jobs'),
		'failed|53100|0|0', '... it failed, and nothing was set aside');
	my $done = $truth->();
	like($done, qr/^[1-9]\d*\|t\|1$/, '... and what is counted is done, and once');
	is($db->try(q{SELECT streamiter.for_each('SELECT id FROM work WHERE n = 0', 'work_on(integer)', on_error => 'skip')})->{error}{code},
		'53100', '... nor does a walk skip');
	is($truth->(), $done, '... of which nothing stays');
	$db->query('DROP TABLE filler');
	$db->query(q{CALL streamiter.run('job')});
	is($db->query('SELECT state, rows, skipped FROM streamiter.jobs'), 'finished|2000|0', '... with room, the job goes on to its end');
	is($truth->(), '2000|t|1', '... each row once');
	is($db->query('SELECT count(*), count(DISTINCT id) FROM copy'), $space eq 'small' ? '0|0' : '2000|2000', '... and what it wrote');
	$db->query($_) for q{SELECT streamiter.drop_job('job')}, 'DROP TABLE work, copy';
}

kill 'INT', $pid;
waitpid $pid, 0;
unlike(slurp_file($node->logfile), qr/WARNING|PANIC|TRAP|terminated by signal/, 'the server has noticed nothing wrong');

done_testing();
