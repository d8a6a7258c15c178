# QueryJobs: cases of jobs whose sources are random queries.  Most cannot be a
# job's, and have to be refused for a reason that is documented.

package QueryJobs;

use strict;
use warnings;

use Fuzz;
use Jobs;
use List::Util qw(max);
use Refusals;
use Walks;

# A query, what create_job is told of its key, and a callback that takes its rows
sub source
{
	my $query = @Walks::queries && chance(70) ? pick(@Walks::queries) : Walks::own_query();
	my $shape = pick('itself', 'inside', 'distinct', 'distinct', 'grouped', 'grouped', 'joined');

	return ($query, pick('NULL', "'{c0}'", "'{id}'", "'{c0,c1}'", "'{c0,c0}'")) if $shape eq 'itself';
	return ("SELECT * FROM ($query) q", pick('NULL', "'{c0}'", "'{id}'", "'{c1,c0}'")) if $shape eq 'inside';
	return ("SELECT DISTINCT q::text AS r FROM ($query) q", "'{r}'", pick(@{ $Walks::callbacks{text} })) if $shape eq 'distinct';
	return ("SELECT q::text AS r, count(*) AS n FROM ($query) q GROUP BY 1", "'{r}'") if $shape eq 'grouped';
	return ("SELECT DISTINCT b.id, q::text AS r FROM base b CROSS JOIN ($query) q WHERE b.id < 4",
		pick("'{id,r}'", "'{r,id}'", "'{id}'"));
}

sub job_case
{
	my ($query, $key, $callback) = source();
	my %source = (query => $query, plain => $query);

	if (!Walks::expect(\%source, 'false', $callback ? 'false' : 'true'))
	{
		$count{discarded}++;
		return;
	}
	Jobs::drop_leftover();
	# each batch may read all of it
	my $chunk = max(1, between($source{rows} / 8, $source{rows} + 1));
	my $outcome = tell(sprintf "SELECT streamiter.create_job('fuzz', %s, %s, key => %s, chunk_size => %d, allow_slow_plan => %s)",
		literal($query), literal($callback // 'note_record(record)'), $key, $chunk, chance(80) ? 'true' : 'false');
	if ($outcome->{error})
	{
		problem("refused with $outcome->{error}{code}: $outcome->{error}{message}")
		  if $outcome->{error}{code} ne $source{error} && !is_refused_job($outcome->{error});
		$count{refused_jobs}++;
		return;
	}
	run_to_end(\%source, $key);
	wait_for_gone();
	must("SELECT streamiter.drop_job('fuzz')");
	return;
}

sub run_to_end
{
	my ($source, $key) = @_;

	for my $attempt (1 .. 8)
	{
		my $meanwhile = $attempt <= 4 && chance(40)
		  ? interrupted(chance(80) ? 'cancel' : 'terminate', 2 * $source->{seconds} + 0.01) : undef;
		my $outcome = tell("CALL streamiter.run('fuzz')", $meanwhile);
		wait_for_gone() if $outcome->{lost};
		if (!$outcome->{error} && !$outcome->{lost})
		{
			problem("the state is " . Jobs::state()) if Jobs::state() ne 'finished';
			problem('an error is missing') if $source->{error} ne '';
			Walks::compare(0, 0) if $source->{error} eq '';
			$count{rows} += $source->{rows};
			return;
		}
		$count{errors}++;
		if (!$outcome->{interrupted})
		{
			check_failure($source, $key, $outcome);
			return;
		}
		Walks::judge($outcome, may_fail_with($source, $key));
		check_rows();
		return if Jobs::state() eq 'failed';
	}
	problem('the job does not come to its end');
	return;
}

# With what may it fail?  With what plain SQL does; and, where nothing proves that
# the key is one, with that it is not unique, or null.
sub may_fail_with
{
	my ($source, $key) = @_;
	my @codes = grep { $_ ne '' } $source->{error};

	push @codes, '23505', '23502' if $key !~ /\br\b/;
	return @codes;
}

sub check_failure
{
	my ($source, $key, $outcome) = @_;

	Walks::judge($outcome, may_fail_with($source, $key));
	problem('failed, and its state is ' . Jobs::state()) if Jobs::state() ne 'failed';
	check_rows();
	return;
}

sub check_rows
{
	my $rows = ask("SELECT rows FROM streamiter.jobs WHERE name = 'fuzz'");
	my $done = ask('SELECT count(*) FROM log');

	problem("$rows rows are counted, $done are done") if $rows != $done;
	return;
}

1;
