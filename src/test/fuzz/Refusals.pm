# Refusals: cases of what must be refused, and for which reason: that of plain SQL
# where it refuses the same text, else one that is documented.

package Refusals;

use strict;
use warnings;

use Exporter 'import';
use Fuzz;
use Walks;

our @EXPORT = qw(is_refused_job);
our @writing;					# statements of sqlsmith's that write

# What a walk refuses though plain SQL does not, or not alike
my %own = (
	'' => '42601',
	';' => '42601',
	'SELECT 1; SELECT 2' => '42601',
	'TABLE base FOR UPDATE' => '42P11',
	'SELECT * FROM (SELECT * FROM base FOR SHARE) b' => '42P11',
	'CREATE TABLE x ()' => '42P11',
	'WITH w AS (DELETE FROM log RETURNING *) TABLE w' => '42P11',
	'SELECT 1 INTO x' => '42P11',
	'SELECT $1' => '42P02');

# What create_job refuses of a source that is a query, by SQLSTATE
my %of_job = (
	'0A000' => qr/^(?:the source of a job cannot (?:have|depend on) |cannot walk |key column .* (?:depends on|has a nondet))/,
	'22023' => qr/^(?:the source has no key|table .* has no primary key|key column .* is named twice$|key .* (?:is not unique|may be null)|no index of table )/,
	'42702' => qr/^key column .* is ambiguous$/,
	'42703' => qr/^key column .* is not in the source$/,
	'42883' => qr/^key column .* has no order$/,
	'55000' => qr/^each batch would read more of the source than its rows$/);

# What a callback's text may be refused for: no such name, type, schema or
# function, no signature at all, one with too much in it, or of something else
my $of_callback = qr/^(?:42704|42883|3F000|22P02|42601|42602|42622|54023|0A000|42809|42804|42725)$/;

sub is_refused_job
{
	my $error = shift;
	my $message = $of_job{ $error->{code} } or return 0;

	return $error->{message} =~ $message;
}

# What may go wrong with a text that nobody has typed yet
sub mutate
{
	my $text = shift;

	for (1 .. between(1, 3))
	{
		my $at = between(0, length $text);
		my $length = between(0, 12);
		my $piece = substr $text, $at, $length;

		$piece = pick('', $piece x 2, scalar reverse($piece), uc $piece, substr($text, rand length $text, $length),
			'(', ')', ',', '.', "'", '"', '*', '::', '[', ']', ' null ', ' select ', ' from ', '-1', "\n--", '/*', "\x{7f}");
		substr $text, $at, $length, $piece;
	}
	$text =~ tr/;$//d;			# of one statement, without parameters
	return $text;
}

# The SQLSTATE of plain SQL that only looks at a statement
sub code_of_plain
{
	my $statement = shift;
	my $outcome = tell("PREPARE plain AS $statement");

	return $outcome->{error}{code} if $outcome->{error};
	tell('DEALLOCATE plain');
	return '';
}

sub refuse_case
{
	my $kind = pick('own', 'writing', 'writing', 'mutated', 'mutated', 'mutated', 'callback');

	if ($kind eq 'own')
	{
		my $statement = pick(sort keys %own);
		must_fail($statement, $own{$statement});
	}
	elsif ($kind eq 'writing' && @writing)
	{
		# it may name what only sqlsmith's database knows
		my $statement = pick(@writing);
		must_fail($statement, code_of_plain($statement) || '42P11');
	}
	elsif ($kind eq 'callback')
	{
		callback_case();
	}
	else
	{
		my $statement = mutate(chance(50) && @Walks::queries ? pick(@Walks::queries) : Walks::own_query());
		my $code = code_of_plain($statement);

		# what is right after all is no case of ours
		must_fail($statement, $code) if $code ne '';
	}
	return;
}

# By everything that takes a query
sub must_fail
{
	my ($statement, $code) = @_;
	my $query = literal($statement);
	my $call = pick("streamiter.for_each($query, 'note_record(record)')", "streamiter.iterator($query)",
		"streamiter.create_job('refused', $query, 'note_record(record)')");

	# a job has more to refuse, and says first what it has
	my $outcome = tell("SELECT $call");
	my $found = $outcome->{error} ? $outcome->{error}{code} : '';
	problem("ended with \"$found\", not with \"$code\"")
	  if $found ne $code && !($call =~ /create_job/ && $outcome->{error} && is_refused_job($outcome->{error}));
	$count{errors}++;
	return;
}

sub callback_case
{
	my $callback = mutate(pick('note_record(record)', 'note batch', 'note statement', 'public.note_record(record)',
		'streamiter_native_count(internal)', 'note_plpgsql(text)', 'by_integer(by_integer[])'));
	my $outcome = tell(sprintf pick(q{SELECT streamiter.for_each('TABLE nothing', %s)},
		q{SELECT streamiter.create_job('refused', 'TABLE by_nothing', %s)}, q{SELECT streamiter.register_callback('refused', %s::regprocedure)}),
		literal($callback));

	if (!$outcome->{error})
	{
		# it was right after all
		$db->try("SET ROLE fuzz; SELECT streamiter.drop_job('refused')");
		$db->try("SET ROLE fuzz; SELECT streamiter.unregister_callback('refused')");
		$db->query('RESET ROLE');
		return;
	}
	problem("callback refused with $outcome->{error}{code}: $outcome->{error}{message}")
	  if $outcome->{error}{code} !~ $of_callback;
	$count{errors}++;
	return;
}

1;
