with added as (insert into item (name) values (:'name') returning *)
select row_to_json(added) from added;
