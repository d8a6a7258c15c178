# What paces a job, tested without a server and without waiting: adapt.c,
# throttle.c and lag.c are arithmetic, and src/test/unit/pace.c has a clock of
# its own.  Its tests are ours.

use strict;
use warnings;

use FindBin;
use PostgreSQL::Test::Utils;
use Test::More;

my $src = "$FindBin::RealBin/../..";
my $program = PostgreSQL::Test::Utils::tempdir() . '/pace';
my ($include) = run_command([ 'pg_config', '--includedir-server' ]);

my @cc = split ' ', $ENV{CC} || 'cc';
my ($out, $err) = run_command(
	[
		@cc, '-O1', '-Wall', "-I$src", "-I$include", '-o', $program,
		"$src/test/unit/pace.c", (map { "$src/$_.c" } qw(adapt throttle lag)), '-lm'
	]);
is($err, '', 'compiles') or BAIL_OUT('no test of pace');

($out, $err) = run_command([$program]);
my ($plan) = $out =~ /^1\.\.(\d+)$/m;
my @results = $out =~ /^((?:not )?ok \d+ - .*)$/mg;
is(scalar @results, $plan, 'it got to its end');
foreach my $result (@results)
{
	my ($not, $name) = $result =~ /^(not )?ok \d+ - (.*)/;

	ok(!$not, $name);
}

done_testing();
