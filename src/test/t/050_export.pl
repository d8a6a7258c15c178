# Files of exports: however one ends, readers see all of the new file or the old
# one, and nothing else is left; and memory is flat in every format.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Session;
use Test::More;
use Victim;

my $node = PostgreSQL::Test::Cluster->new('export');
$node->init(allows_streaming => 1);
$node->append_conf('postgresql.conf', q{
	shared_buffers = 1MB		# they count as memory of each backend
	jit = off});
my $victim = Victim->new($node);
$victim->start;
my $db = Session->wait_for_server($node);
$db->query('CREATE EXTENSION streamiter');

my $dir = PostgreSQL::Test::Utils::tempdir();
my $xlsx = !$db->try("SELECT streamiter.export('SELECT 1', '$dir/try.xlsx', 'xlsx')")->{error};
my @formats = ('csv', 'jsonl', $xlsx ? 'xlsx' : ());
unlink "$dir/try.xlsx";

sub export
{
	my ($query, $format, $file, @more) = @_;
	$file //= "$dir/file.$format";
	my $arguments = join ', ', "\$query\$$query\$query\$", "\$file\$$file\$file\$", "'$format'", @more;

	return "SELECT rows FROM streamiter.export($arguments)";
}

# Everything that is in the folder, and how it begins
sub files
{
	my $folder = shift // $dir;

	opendir my $handle, $folder or die "$folder: $!\n";
	return join ' ', sort grep { !/^\.\.?$/ } readdir $handle;
}

sub code
{
	my ($session, $sql) = @_;
	my $outcome = $session->try($sql);

	return $outcome->{error} ? $outcome->{error}{code} : 'no error';
}

# A file that was there before, and an export that sleeps on its way to it
my $sleeping = 'SELECT g, CASE WHEN g = 40000 THEN pg_sleep(600) END FROM generate_series(1, 50000) g';

sub begin_sleeping
{
	my ($format) = @_;
	my $session = Session->new($node);

	append_to_file("$dir/file.$format", 'old');
	$session->send(export($sleeping, $format));
	$db->poll("SELECT wait_event = 'PgSleep' FROM pg_stat_activity WHERE pid = " . $session->pid);
	return $session;
}

# What only the old file may have been left by
sub only_old
{
	my ($format, $what) = @_;

	is(files(), "file.$format", "$format, $what: nothing else is there");
	is(slurp_file("$dir/file.$format"), 'old', "$format, $what: readers see the old file");
	unlink "$dir/file.$format";
	return;
}

for my $format (@formats)
{
	my $session = begin_sleeping($format);
	is(files(), "file.$format file.$format.streamiter", "$format: written beside its path");
	is(slurp_file("$dir/file.$format"), 'old', "$format: readers see the old file");
	is(code($db, export('SELECT 1', $format)), '55006', "$format: another export is refused");
	$db->query('SELECT pg_cancel_backend(' . $session->pid . ')');
	is($session->finish->{error}{code}, '57014', "$format: cancelled");
	only_old($format, 'cancelled');
	is($session->query(export('SELECT 1', $format)), '1', "$format: the session goes on");
	unlink "$dir/file.$format";

	$session = begin_sleeping($format);
	my $pid = $session->pid;
	$db->query("SELECT pg_terminate_backend($pid)");
	ok($session->finish->{lost}, "$format: terminated");
	$db->poll("SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $pid");
	only_old($format, 'terminated');

	# in an exception block, with another export after it
	append_to_file("$dir/file.$format", 'old');
	my $fail = export('SELECT 1 / (30000 - g) FROM generate_series(1, 50000) g', $format) =~ s/SELECT/PERFORM/r;
	my $good = export('SELECT 1', $format, "$dir/good.$format") =~ s/SELECT/PERFORM/r;
	is($db->query("DO \$\$ BEGIN BEGIN $fail; EXCEPTION WHEN division_by_zero THEN END; $good; END \$\$"),
		'', "$format: a failure can be caught");
	ok(unlink("$dir/good.$format"), "$format: and the next export is done");
	only_old($format, 'failed');
}

# Packing a workbook is where most of the time goes
if ($xlsx)
{
	my $session = Session->new($node);
	my $temp = "$dir/file.xlsx.streamiter";

	my $code = '';
	for (my $attempt = 1; $code eq '' && $attempt <= 10; $attempt++)
	{
		unlink "$dir/file.xlsx";
		append_to_file("$dir/file.xlsx", 'old');
		$session->send(export('SELECT g, md5(g::text) a, md5(g::text) b, md5(g::text) c FROM generate_series(1, 200000) g', 'xlsx'));
		until (-s $temp || $session->done(0.001)) { }
		kill 'STOP', $session->pid;
		$db->query('SELECT pg_cancel_backend(' . $session->pid . ')');
		kill 'CONT', $session->pid;
		# none if it was as good as done
		$code = $session->finish->{error}{code} // '';
	}
	is($code, '57014', 'xlsx: cancelled while it is packed');
	only_old('xlsx', 'cancelled while it is packed');
	is($session->query(q{SELECT count(*) FROM pg_ls_tmpdir()}), '0', 'xlsx: no temporary file is left');
	is($session->query(export('SELECT 1', 'xlsx')), '1', 'xlsx: and the session goes on');
	unlink "$dir/file.xlsx";

	# the rows are in a temporary file of the server's
	$session = Session->new($node, temp_file_limit => '100kB');
	is(code($session, export('SELECT md5(g::text) FROM generate_series(1, 10000) g', 'xlsx')),
		'53400', 'xlsx: temp_file_limit holds');
	is(files(), '', 'xlsx: nothing is left of that');
	is($session->query(q{SELECT count(*) FROM pg_ls_tmpdir()}), '0', 'xlsx: nor in the temporary folder');
}

# The backend dies on the way, and all others with it: the next export finds what it left, and replaces it
for my $format (@formats)
{
	my $session = begin_sleeping($format);
	kill 'KILL', $session->pid;
	$session->finish;
	is(files(), "file.$format file.$format.streamiter", "$format: a crash leaves the temporary file");
	is(slurp_file("$dir/file.$format"), 'old', "$format: and the old one");
	$db->finish if $db->send('SELECT pg_sleep(600)');
	$db = Session->wait_for_server($node);
	is($db->query(export('SELECT 1 AS a', $format)), '1', "$format: the next export to the same path");
	is(files(), "file.$format", "$format: replaces both");
	isnt(slurp_file("$dir/file.$format"), 'old', "$format: with what it has");
	unlink "$dir/file.$format";
}

# Permissions, and things that are in the way
{
	my $file = "$dir/file.csv";
	my $mode = sub { return sprintf '%o', (stat $file)[2] & 07777; };

	$db->query(export('SELECT 1', 'csv'));
	is($mode->(), '644', 'a new file can be read, as of COPY');
	chmod 0600, $file;
	$db->query(export('SELECT 2', 'csv'));
	is($mode->(), '600', 'who could not read the old file cannot read the new one');
	chmod 0444, $file;
	my $refused = $> == 0 ? 'no error' : '42501';
	is(code($db, export('SELECT 3', 'csv')), $refused, 'a read-only file is not replaced');
	unlink $file;

	symlink "$dir/elsewhere", $file;
	is(code($db, export('SELECT 1', 'csv')), '42809', 'a link is refused');
	is(files(), 'file.csv', 'and stays');
	unlink $file;
	symlink "$dir/elsewhere", "$file.streamiter";
	is(code($db, export('SELECT 1', 'csv')), '42809', 'so is one under the temporary name');
	is(files(), 'file.csv.streamiter', 'which is not followed');
	unlink "$file.streamiter";
	mkdir "$file.streamiter";
	is(code($db, export('SELECT 1', 'csv')), '42809', 'and a folder');
	rmdir "$file.streamiter";

	mkdir "$dir/folder";
	chmod 0555, "$dir/folder";
	is(code($db, export('SELECT 1', 'csv', "$dir/folder/file")), $refused, 'a folder where nobody may write');
	chmod 0755, "$dir/folder";
	unlink "$dir/folder/file";
	rmdir "$dir/folder";
	symlink $node->data_dir, "$dir/folder";
	is(code($db, export('SELECT 1', 'csv', "$dir/folder/file")), '42602', 'the data folder by a link');
	unlink "$dir/folder";

	is($db->query(export('SELECT 1', 'csv', "$dir/it's a \"file\" \\ \$(date)\n")), '1', 'any name will do');
	unlink glob "'$dir/it*'";
	is(files(), '', 'and all is gone');
}

# On a standby server
{
	$node->backup('backup');
	my $standby = PostgreSQL::Test::Cluster->new('standby');
	$standby->init_from_backup($node, 'backup', has_streaming => 1);
	$standby->start;
	my $there = Session->wait_for_server($standby);
	is($there->query('SELECT pg_is_in_recovery()'), 't', 'a standby');
	for my $format (@formats)
	{
		my $query = 'SELECT oid, relname FROM pg_class ORDER BY oid';
		$db->query(export($query, $format, "$dir/primary"));
		$there->query(export($query, $format, "$dir/standby"));
		if ($format eq 'xlsx') { ok(-s "$dir/standby", "$format: a standby exports too"); }
		else { is(slurp_file("$dir/standby"), slurp_file("$dir/primary"), "$format: a standby exports the same"); }
	}
	$standby->stop;
	unlink "$dir/primary", "$dir/standby";
}

# A million rows need no more memory than ten thousand
SKIP:
{
	skip 'needs /proc', scalar @formats if !-r "/proc/$$/status";
	for my $format (@formats)
	{
		my $peak = sub {
			my $rows = shift;
			my $session = Session->new($node);
			$session->query(export("SELECT g, 'row ' || g AS text FROM (SELECT generate_series(1, $rows) g OFFSET 0) s", $format));
			my ($kilobytes) = slurp_file('/proc/' . $session->pid . '/status') =~ /^VmHWM:\s*(\d+) kB/m;
			return $kilobytes;
		};
		my $small = $peak->(10_000);
		my $large = $peak->(1_000_000);
		cmp_ok($large - $small, '<', 1024, "$format: same peak of the backend, $small and $large kB");
		unlink "$dir/file.$format";
	}
}

$victim->stop;
unlike(slurp_file($node->logfile),
	qr/WARNING:.*(leak|not closed|SPI|transaction|snapshot)|PANIC|TRAP|terminated by signal [^9]/,
	'and the server has noticed nothing wrong');

done_testing();
