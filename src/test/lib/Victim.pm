# Victim: a server that is made to be killed.
#
# The node's data folder, run as our own child: only so do we learn at once that
# it is dead, and can start it again at once.

package Victim;

use strict;
use warnings;

use Session;

sub new
{
	my ($class, $node) = @_;
	my $self = bless {node => $node}, $class;

	$self->configure('');
	$node->append_conf('postgresql.conf', qq{
		restart_after_crash = on
		log_statement = none
		autovacuum = off
		shared_buffers = 64MB
		max_wal_size = 2GB
		checkpoint_timeout = 1h
		include 'now.conf'});
	return $self;
}

# What is to be set for now, besides postgresql.conf
sub configure
{
	my ($self, $settings) = @_;
	my $file = $self->{node}->data_dir . '/now.conf';

	open my $out, '>', $file or die "$file: $!\n";
	print $out "$settings\n";
	close $out or die "$file: $!\n";
	kill 'HUP', $self->{pid} if $self->{pid};
	return;
}

# {before}: a command of the shell before it, such as ulimit
sub start
{
	my $self = shift;
	my $node = $self->{node};
	my $pid = fork // die "fork: $!\n";

	if ($pid == 0)
	{
		open STDIN, '<', '/dev/null' or die "no input: $!\n";
		open STDOUT, '>>', $node->logfile or die "no log: $!\n";
		open STDERR, '>&', \*STDOUT or die "no log: $!\n";
		delete local $ENV{PGAPPNAME};
		exec 'sh', '-c', ($self->{before} // 'true') . '; exec postgres -D "$0"', $node->data_dir
		  or die "postgres: $!\n";
	}
	$self->{pid} = $pid;
	return;
}

# All processes at once, as when the machine dies
sub kill_all
{
	my $self = shift;
	my $postmaster = $self->{pid};

	# stopped, it has no more children
	kill 'STOP', $postmaster;
	my @children = split ' ', `ps -o pid= --ppid $postmaster`;
	kill 'KILL', $postmaster, @children;
	waitpid $postmaster, 0;
	delete $self->{pid};

	# nor may one of them still hold the shared memory
	for my $child (@children)
	{
		select(undef, undef, undef, 0.001) while -d "/proc/$child" && alive($child);
	}
	return;
}

sub alive
{
	my $pid = shift;

	open my $in, '<', "/proc/$pid/stat" or return 0;
	my $line = <$in> // return 0;
	return $line !~ /\) [ZX] /;
}

# At the end of the test, however it came
sub stop
{
	my $self = shift;

	return if !$self->{pid};
	kill 'CONT', $self->{pid};
	kill 'QUIT', $self->{pid};
	waitpid $self->{pid}, 0;
	delete $self->{pid};
	return;
}

1;
