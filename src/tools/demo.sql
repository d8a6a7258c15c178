-- demo.sql: what `make demo` runs after pgbench has made its tables.

SET client_min_messages = warning;
CREATE EXTENSION streamiter;
CREATE EXTENSION streamiter_native;

-- A row function: looks at each account, and objects to a wrong one.
CREATE FUNCTION check_account(aid integer, bid integer) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
	IF bid <> (aid - 1) / 100000 + 1 THEN
		RAISE EXCEPTION 'account % is in branch %', aid, bid;
	END IF;
END
$$;
SELECT streamiter.register_callback('check accounts', 'check_account(integer, integer)') \g /dev/null

-- A batch statement: $1 is the array of the batch's first column.
SELECT streamiter.register_statement('pay interest',
	'UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid = ANY ($1)') \g /dev/null

-- A native callback: C code, from the extension in src/test/native.
SELECT streamiter.register_callback('count in C', 'streamiter_native_count(internal)') \g /dev/null

-- The same work, each as the loop that one would write without StreamIter.
CREATE FUNCTION loop_check() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	account record;
BEGIN
	FOR account IN SELECT aid, bid FROM pgbench_accounts LOOP
		PERFORM check_account(account.aid, account.bid);
	END LOOP;
END
$$;
CREATE FUNCTION loop_update() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	account record;
BEGIN
	FOR account IN SELECT aid FROM pgbench_accounts LOOP
		UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid = account.aid;
	END LOOP;
END
$$;
CREATE FUNCTION loop_count() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	account record;
	counted bigint := 0;
BEGIN
	FOR account IN SELECT * FROM pgbench_accounts LOOP
		counted := counted + 1;
	END LOOP;
END
$$;

-- Runs both and notes what they cost.
CREATE TEMPORARY TABLE result (
	callback text, rows bigint, batches bigint, elapsed interval,
	first_row interval, peak_batch_bytes bigint, loop_elapsed interval);

CREATE PROCEDURE pg_temp.walk(query text, callback text) LANGUAGE sql AS $$
	INSERT INTO result
	SELECT callback, w.rows, w.batches, w.elapsed, w.first_row, w.peak_batch_bytes
	FROM streamiter.for_each(query, callback) AS w
$$;

CREATE PROCEDURE pg_temp.time_loop(callback text, function regproc) LANGUAGE plpgsql AS $$
DECLARE
	start timestamptz := clock_timestamp();
BEGIN
	EXECUTE format('SELECT %s()', function);
	UPDATE result SET loop_elapsed = clock_timestamp() - start
	WHERE result.callback = time_loop.callback;
END
$$;

\echo '== a row function in PL/pgSQL: walk, then loop'
CALL pg_temp.walk('SELECT aid, bid FROM pgbench_accounts', 'check accounts');
CALL pg_temp.time_loop('check accounts', 'loop_check');

\echo '== a batch statement, UPDATE: walk, then loop'
CALL pg_temp.walk('SELECT aid FROM pgbench_accounts', 'pay interest');
VACUUM FULL pgbench_accounts;	-- the loop finds the table as the walk found it
CALL pg_temp.time_loop('pay interest', 'loop_update');
VACUUM FULL pgbench_accounts;

\echo '== a native callback in C: walk, then loop'
CALL pg_temp.walk('SELECT * FROM pgbench_accounts', 'count in C');
CALL pg_temp.time_loop('count in C', 'loop_count');

\echo
\pset footer off
\pset numericlocale off
\pset null '-'
SELECT callback, rows, batches,
	round(rows / extract(epoch FROM elapsed))::bigint AS "rows/s",
	round(extract(epoch FROM first_row) * 1000, 2) || ' ms' AS "first row",
	peak_batch_bytes AS "peak batch bytes",
	round(rows / extract(epoch FROM loop_elapsed))::bigint AS "FOR loop rows/s",
	round(extract(epoch FROM loop_elapsed) / extract(epoch FROM elapsed), 1) || ' x' AS "speed-up"
FROM result;
