# find_each.rb: Rails' way of walking a table; each line read is the table of a walk

require "active_record"
require "pg"

ActiveRecord::Base.establish_connection(
  adapter: "postgresql", host: ENV["PGHOST"], port: ENV["PGPORT"], username: ENV["PGUSER"] || "postgres",
  database: ENV["PGDATABASE"] || "postgres", schema_search_path: ARGV[0])

$stdout.sync = true
puts ActiveRecord::Base.connection.select_value("SELECT pg_backend_pid()")
while line = $stdin.gets
  model = Class.new(ActiveRecord::Base) { self.table_name = line.chomp }
  rows = 0
  model.find_each(batch_size: 2000) { |_| rows += 1 }
  puts rows
end
