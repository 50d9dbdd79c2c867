select coalesce(json_agg(item order by id), '[]') from item;
