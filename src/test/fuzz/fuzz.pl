# fuzz.pl SECONDS SEED [CASE] FOLDER: see src/tools/fuzz.  Finds a server that has
# both extensions by PGHOST and PGPORT.  Each case has a random generator of its
# own, so that it can be had again without those before it.

use strict;
use warnings;

use FindBin;
use Fuzz;
use Jobs;
use QueryJobs;
use Refusals;
use Time::HiRes qw(time);
use Walks;

# So many cases for each portion of sqlsmith's queries
use constant PORTION => 200;

my ($seconds, $seed, @rest) = @ARGV;
my $folder = pop @rest;
my ($only) = @rest;
my $failed = 0;
my $portion = -1;

$| = 1;
print "SEED=$seed\n";

sub psql
{
	my ($database, $user, @files) = @_;

	system('psql', '-qX', '-v', 'ON_ERROR_STOP=1', '-o', '/dev/null', '-d', $database, '-U', $user,
		map { ('-f', "$FindBin::Bin/$_") } @files) == 0 or die "psql failed\n";
	return;
}

sub create_databases
{
	my $db = Session->wait_for_server(Fuzz::node(), user => 'postgres');

	$db->query($_) for 'CREATE ROLE fuzz LOGIN', 'GRANT pg_read_all_stats, pg_signal_backend TO fuzz',
	  'CREATE DATABASE fuzz OWNER fuzz', 'CREATE DATABASE smith OWNER fuzz';
	$db = Session->wait_for_server(Fuzz::node(), user => 'postgres', database => 'fuzz');
	$db->query('CREATE EXTENSION streamiter');
	$db->query('CREATE EXTENSION streamiter_native');
	psql('fuzz', 'fuzz', 'sources.sql', 'work.sql');
	psql('smith', 'fuzz', 'sources.sql');
	psql('smith', 'postgres', 'smith.sql');
	return;
}

# Those that read, and those that write and must be refused
sub read_queries
{
	my $target = "host=$ENV{PGHOST} port=$ENV{PGPORT} user=fuzz dbname=smith";
	my $number = ($seed + $portion) % 2**31;

	open my $in, '-|', "sqlsmith --target='$target' --dry-run --exclude-catalog --max-queries=300 --seed=$number 2>/dev/null"
	  or die "sqlsmith: $!\n";
	local $/ = ";\n";
	my @all = <$in>;
	close $in;
	die "sqlsmith has no queries\n" if @all < 100;
	s/;\n\z// for @all;
	# a sample must be the same when it is taken again
	s/(tablesample \w+ \([^)]*\))/$1 repeatable (1)/g for @all;
	my $writes = qr/^\s*(?:insert|update|delete|merge)\b|\bfor (?:no key )?(?:update|share)\b/i;
	@Walks::queries = grep { !/$writes/ && /^\s*(?:select|with)\b/i } @all;
	@Refusals::writing = grep { /$writes/ } @all;
	return;
}

sub do_case
{
	my $number = shift;

	if (int($number / PORTION) != $portion)
	{
		$portion = int($number / PORTION);
		read_queries();
	}
	srand(($seed * 7919 + $number) % 2**31);
	@Fuzz::story = @Fuzz::problems = ();
	my $kind = pick(('walk') x 9, ('iterator') x 4, ('job') x 3, ('query_job') x 2, ('refuse') x 2);
	my $done = eval {
		if ($kind eq 'walk') { Walks::walk_case(); }
		elsif ($kind eq 'iterator') { Walks::iterator_case(); }
		elsif ($kind eq 'job') { Jobs::job_case(); }
		elsif ($kind eq 'query_job') { QueryJobs::job_case(); }
		else { Refusals::refuse_case(); }
		check_left();
		1;
	};
	$count{$kind}++;
	recover($@) if !$done;
	report($number, $kind) if @Fuzz::problems;
	return;
}

# The server may have gone, or the session that looks on
sub recover
{
	my $message = shift;

	chomp $message;
	problem($message);
	renew();
	Fuzz::look_on();
	return;
}

sub report
{
	my ($number, $kind) = @_;
	my $file = "$folder/fuzz-$seed-$number.txt";

	$failed++;
	print "not ok: $kind, make fuzz SEED=$seed CASE=$number\n";
	print "    $_\n" for @Fuzz::problems;
	open my $out, '>', $file or die "$file: $!\n";
	print $out "make fuzz SEED=$seed CASE=$number\n\n", map { "$_\n" } @Fuzz::story;
	close $out or die "$file: $!\n";
	if ($failed == 1)
	{
		print map { '    | ' . substr($_, 0, 1000) . "\n" } map { split /\n/ } @Fuzz::story;
	}
	# it may be the last one's fault
	renew();
	return;
}

Fuzz::connect_to($ENV{PGHOST}, $ENV{PGPORT}, \&create_databases);
my $number = $only // 0;
my $limit = time + $seconds;
my $next_vacuum = 0;
while (time < $limit)
{
	do_case($number++);
	last if defined $only || $failed >= 20;
	if ($number > $next_vacuum)
	{
		$db->query('VACUUM');
		$next_vacuum = $number + 100;
	}
}
renew();
@Fuzz::problems = ();
my $files = ask('SELECT count(*) FROM pg_ls_tmpdir()');
if ($files != 0)
{
	print "not ok: $files temporary files are left\n";
	$failed++;
}

my $n = sub { return join ', ', map { sprintf '%s %d', $_->[1], $count{ $_->[0] } // 0 } @_; };
my $cases = $number - ($only // 0);
printf "%d cases (%s; %s), %s; %s: %d passed, %d failed\n", $cases,
  $n->([ walk => 'walks' ], [ iterator => 'iterators' ], [ job => 'jobs' ], [ query_job => 'jobs of queries' ],
	[ refuse => 'refused' ]),
  $n->([ runs => 'runs' ]),
  $n->([ rows => 'rows' ], [ errors => 'errors' ], [ cancel => 'cancelled' ], [ terminate => 'terminated' ],
	[ helper => 'workers terminated' ], [ pause => 'paused' ], [ refused_jobs => 'jobs of queries refused' ], [ discarded => 'not deterministic' ]),
  "SEED=$seed", $cases - $failed, $failed;
exit($failed ? 1 : 0);
