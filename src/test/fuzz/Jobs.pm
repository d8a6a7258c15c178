# Jobs: cases of jobs, that are interrupted until they have finished.

package Jobs;

use strict;
use warnings;

use Fuzz;

my %columns = (
	by_integer => 1, by_bigint => 1, by_text => 1, by_collation => 1, by_numeric => 1,
	by_double => 1, by_uuid => 1, by_time => 1, by_date => 1, by_enum => 1, by_bytea => 1,
	by_pair => 2, by_three => 3, by_nothing => 1, by_one => 1);
my $last_run = 'SELECT coalesce(max(id), 0) FROM streamiter.run';
my ($table, $filter);

sub job_case
{
	$table = pick(sort keys %columns);
	$filter = 'true';
	my $kind = pick('row', 'sql', 'batch', 'statement', 'range', 'range');
	my $callback = $kind =~ /row|sql/ ? "${kind}_$table($table)" : "$kind $table";
	my $source = pick("TABLE $table", "SELECT * FROM $table");
	my @settings = settings($kind);

	if ($kind ne 'range' && chance(40))
	{
		$filter = pick('length(payload) % 64 = 0', 'payload IS NOT NULL', 'false', 'k1 IS NOT NULL AND n >= 0');
		$source = "SELECT * FROM $table WHERE $filter";
	}
	elsif ($table eq 'by_integer' && $kind eq 'row' && chance(50))
	{
		$filter = 'k1 % 3 <> 0';
		$source = 'SELECT * FROM view_by_integer';
		push @settings, "key => '{k1}'";
	}

	prepare();
	drop_leftover();
	my $outcome = tell(sprintf 'SELECT streamiter.create_job(%s)', join ', ',
		"'fuzz'", literal($source), literal($callback), @settings);
	if ($outcome->{error})
	{
		problem("create_job: $outcome->{error}{message}");
		return;
	}
	run_to_end();
	check_end();
	wait_for_gone();
	must("SELECT streamiter.drop_job('fuzz')");
	return;
}

# The last case may have gone down with the server
sub drop_leftover
{
	return if ask("SELECT count(*) FROM streamiter.jobs") == 0;
	wait_for_gone();
	must("SELECT streamiter.drop_job('fuzz')");
	return;
}

# Nothing done yet, and some rows bad
sub prepare
{
	my $modulus = pick(0, 0, 0, 2, 5, 20, 100);
	my $salt = between(1, 1000);

	must("UPDATE $table SET n = 0, bad = false WHERE n <> 0 OR bad");
	must("UPDATE $table SET bad = true WHERE hashtext(k1::text || payload || '$salt') % $modulus = 0") if $modulus;
	return;
}

sub settings
{
	my $kind = shift;
	my @settings = ('chunk_size => ' . pick(1, 1, 2, 3, 5, 7, 50, 1000, 'NULL', between(1, 400)));

	push @settings, "on_error => 'skip'", 'max_skips => ' . pick(0, 3, 100, 100_000) if chance(60);
	push @settings, "lock_rows => 'update'" if $kind ne 'range' && chance(20);
	push @settings, "batch_pause => '1 ms'" if chance(15);
	push @settings, "target_batch_time => '3 ms'" if chance(20);
	push @settings, "batch_timeout => '5 s'" if chance(20);
	push @settings, 'max_rows_per_second => 50000' if chance(10);
	push @settings, 'max_retries => 100', "lock_timeout => '1 s'" if chance(20);
	push @settings, "throttle_query => 'SELECT random() < 0.01'" if chance(5);
	return @settings;
}

# What can happen to a run, by weight
my @fates = (('none') x 6, ('cancel') x 4, ('terminate') x 2, ('helper') x 2, 'pause', 'timeout', 'start');

sub run_to_end
{
	for my $attempt (1 .. 60)
	{
		my $fate = $attempt > 12 ? 'none' : pick(@fates);
		my @budget;

		push @budget, 'max_rows => ' . between(1, 300) if $attempt <= 12 && chance(25);
		push @budget, "max_duration => '20 ms'" if $attempt <= 12 && chance(5);
		push @budget, 'workers => ' . between(2, 3) if $fate eq 'helper' || chance(35);
		my $arguments = join ', ', "'fuzz'", @budget;

		if ($fate eq 'start') { run_in_background($arguments); }
		else { run_once("CALL streamiter.run($arguments)", $fate, scalar @budget); }
		return if check_between();
	}
	problem('the job does not come to its end');
	return;
}

sub run_once
{
	my ($call, $fate, $budget) = @_;
	my ($before, $state_before) = (ask($last_run), state());
	my $meanwhile;

	if ($fate =~ /cancel|terminate/) { $meanwhile = interrupted($fate, pick(0.003, 0.01, 0.03, 0.1)); }
	elsif ($fate eq 'pause') { $meanwhile = \&pause; }
	elsif ($fate eq 'helper') { $meanwhile = \&terminate_helper; }
	must("SET statement_timeout = '" . between(1, 60) . "ms'") if $fate eq 'timeout';
	my $outcome = tell($call, $meanwhile);
	# which takes its time too
	1 while $fate eq 'timeout' && tell('RESET statement_timeout')->{error};
	wait_for_gone() if $outcome->{lost};

	my $code = $outcome->{lost} ? 'lost' : $outcome->{error} ? $outcome->{error}{code} : '';
	my $state = state();
	my %right = (
		'' => qr/^(finished|finished_with_skips|stopped|paused)$/,
		'57014' => qr/^(stopped|finished|finished_with_skips)$/,
		'UE001' => qr/^failed$/,
		'57P01' => qr/^(crashed|finished|finished_with_skips|stopped|failed)$/,
		lost => qr/^(crashed|finished|finished_with_skips|stopped|failed)$/);
	my $begun = ask($last_run) != $before;
	$right{$code} = qr/^$state_before$/ if $right{$code} && !$begun && $code ne '';
	# which is shown as long as it is asked for
	$right{UE001} = qr/^(failed|paused)$/ if $fate eq 'pause';
	if (!$right{$code}) { problem("the run ended with $code: $outcome->{error}{message}"); }
	elsif ($state !~ $right{$code}) { problem("after \"$code\" the state is $state, before it was $state_before" . ($begun ? '' : ', no run has begun')); }
	problem("cancelled by nobody") if $code eq '57014' && $fate ne 'timeout' && $outcome->{interrupted} ne 'cancel';
	problem("terminated by nobody") if $code =~ /lost|57P01/ && $fate !~ /terminate|helper/;
	problem("the state is $state without a budget or a pause")
	  if $code eq '' && $state eq 'stopped' && !$budget && $fate ne 'pause';
	$count{errors}++ if $code ne '';
	$count{runs}++;
	return;
}

sub run_in_background
{
	my $arguments = shift;
	my $before = ask($last_run);
	my $outcome = tell("SELECT streamiter.start($arguments)");

	problem("start: $outcome->{error}{message}") if $outcome->{error};
	$db->poll("SELECT ($last_run) > $before AND NOT EXISTS
		(SELECT FROM pg_stat_activity WHERE backend_type = 'streamiter worker')");
	$count{runs}++;
	return;
}

sub pause
{
	my $session = shift;

	return if $session->done(rand 0.02);
	# as its owner: a superuser is not
	my $outcome = $db->try("SET ROLE fuzz; SELECT streamiter.pause('fuzz'); RESET ROLE");
	$db->try('RESET ROLE');
	problem("pause: $outcome->{error}{message}") if $outcome->{error} && $outcome->{error}{code} ne '55000';
	$count{pause}++;
	return;
}

sub terminate_helper
{
	my $session = shift;

	return if $session->done(rand 0.05);
	$count{helper} += $db->query("SELECT count(*) FROM (SELECT pg_terminate_backend(pid)
		FROM pg_stat_activity WHERE backend_type = 'streamiter worker' LIMIT 1) t");
	return;
}

sub state { return ask("SELECT state FROM streamiter.jobs WHERE name = 'fuzz'"); }

# What holds whenever nobody works; true if the job has finished.  What stands in
# its way is cleared.
sub check_between
{
	my $state = state();
	my ($rows, $skipped, $worked, $most, $wrong) = @{ $db->try("
		SELECT (SELECT rows FROM streamiter.jobs WHERE name = 'fuzz'),
			(SELECT skipped FROM streamiter.jobs WHERE name = 'fuzz'),
			sum(n), max(n), count(*) FILTER (WHERE n > 0 AND (bad OR NOT ($filter))) FROM $table")->{rows}[0] };

	$worked //= 0;
	problem("a row has been worked on $most times") if ($most // 0) > 1;
	problem("$wrong rows that should not have been worked on") if $wrong;
	problem("$rows rows and $skipped skipped are counted, $worked are done ($state)") if $rows - $skipped != $worked;
	if ($state eq 'failed')
	{
		# mend the rows, or allow more of them
		if (chance(50)) { must("UPDATE $table SET bad = false WHERE bad AND n = 0"); }
		else { must("SELECT streamiter.alter_job('fuzz', on_error => 'skip', max_skips => 100000)"); }
	}
	if ($state eq 'paused')
	{
		my $outcome = tell("SELECT streamiter.resume('fuzz')");
		problem("resume: $outcome->{error}{message}") if $outcome->{error};
	}
	return $state =~ /^finished/;
}

sub check_end
{
	my $state = state();
	my $missing = ask("SELECT count(*) FROM $table t WHERE ($filter) AND n = 0
		AND NOT EXISTS (SELECT FROM streamiter.skipped s WHERE name = 'fuzz'
			AND s.row_data ->> 'k1' = to_jsonb(t) ->> 'k1')");
	my $aside = ask("SELECT skipped FROM streamiter.jobs WHERE name = 'fuzz'");
	my $undone = ask("SELECT count(*) FROM $table WHERE ($filter) AND n = 0");

	problem("$missing rows are neither done nor set aside") if $missing;
	problem("$aside rows are set aside, $undone not done") if $aside != $undone;
	problem("state $state, $aside set aside") if ($state eq 'finished') != ($aside == 0);
	problem('a run has no outcome')
	  if ask("SELECT count(*) FROM streamiter.runs WHERE name = 'fuzz' AND outcome IS NULL") != 0;
	$count{rows} += ask("SELECT count(*) FROM $table WHERE ($filter)");
	return;
}

1;
