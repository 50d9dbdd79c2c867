//! Large files, deep files, and expressions that would take for ever.

use std::fmt::Write as _;

use encamp_file::codes;

use crate::fake::{FULL, Memory, good, load, load_from, wrong};

fn first_code(text: &str) -> &'static str {
    let failure = load(text).expect_err("the file should be refused");
    assert!(!failure.render(false).is_empty());
    failure.diagnostics()[0].code.as_str()
}

#[test]
fn ten_thousand_members_are_spelled_out() {
    let text = "name = 'x'\n[machines.db]\nprovider = 'lab'\nports = { p = 1 }\n[machines.web]\nprovider = 'docker'\n\
                count = 9999\ndocker.image = 'a'\ndocker.command = ['x', '{{ me.name }}']\n\
                env = { I = '{{ me.index }}', DB = \"{{ machines.db.endpoint('p') }}\", A = 'b' }\n\
                ports = { http = 80 }\nready = [{ http = 'http' }]\n";
    let environment = good(text).environment;
    assert_eq!(environment.machines.len(), 10_000);
    assert_eq!(environment.members("web").len(), 9_999);
    assert_eq!(environment.machines[9_999].env["I"].as_static(), Some("9998"));
}

#[test]
fn a_list_of_all_members_is_within_the_budget() {
    let text = "name = 'x'\n[machines.web]\nprovider = 'lab'\ncount = 10000\nports = { http = 80 }\n\
                env = { PEERS = \"{{ machines.web | each('{name}=http://{endpoint:http}') | join(',') }}\" }\n";
    let environment = good(text).environment;
    assert!(environment.machines[0].env["PEERS"].as_static().unwrap().len() > 200_000);
}

#[test]
fn a_list_of_all_for_each_is_beyond_it() {
    let text = "name = 'x'\n[machines.web]\nprovider = 'lab'\ncount = 10000\n\
                env = { PEERS = \"{{ me.name ~ machines.web.names | join(',') }}\" }\n";
    assert_eq!(first_code(text), "E0112");
}

#[test]
fn more_than_ten_thousand_are_refused() {
    let machine = |name: &str, count: u32| format!("[machines.{name}]\nprovider = 'lab'\ncount = {count}\n");
    assert_eq!(first_code(&format!("name = 'x'\n{}", machine("a", 10_001))), "E0109");
    assert_eq!(
        first_code(&format!("name = 'x'\n{}{}", machine("a", 9_000), machine("b", 1_001))),
        "E0112"
    );
    let pairs = "name = 'x'\n[machines.a]\nprovider = 'lab'\ncount = 2000\n[machines.b]\nprovider = 'lab'\ncount = 2000\ndepends_on = 'a'\n";
    assert_eq!(first_code(pairs), "E0112");
}

#[test]
fn deep_files_are_refused() {
    let mut cases = vec![
        format!("{} = 1", vec!["a"; 200_000].join(".")),
        format!("[{}]", vec!["a"; 200_000].join(".")),
        format!("a = {}", "[".repeat(200_000)),
        format!("a = {}", "{a=".repeat(200_000)),
        format!("a = {}{}", "[".repeat(70), "]".repeat(70)),
        format!(
            "{}\nb = 1",
            "[[a.b.c.d]]\n".repeat(10) + &format!("[{}]", vec!["q"; 66].join("."))
        ),
    ];
    let mut mixed = "a".to_owned();
    for _ in 0..70 {
        mixed = format!("x = {{ {mixed} = 1 }}");
    }
    cases.push(mixed);
    for text in cases {
        let code = first_code(&text);
        assert!(
            code == "E0112" || code == "E0101",
            "{code}: {}",
            &text[..40.min(text.len())]
        );
    }
}

#[test]
fn large_files_are_refused() {
    assert_eq!(first_code(&format!("# {}", "x".repeat(1024 * 1024))), "E0112");
    assert_eq!(first_code(&"a = 1\n".repeat(10 * 1024 * 1024 / 6)), "E0112");
}

#[test]
fn bombs_end_quickly() {
    let parens = "(".repeat(2000) + &")".repeat(2000);
    let nots = "not ".repeat(1000) + "1";
    let minuses = "-".repeat(4000) + "1";
    let lists = "[".repeat(1500) + &"]".repeat(1500);
    let nested = "[".repeat(24) + &"]".repeat(24);
    let sums = "1+".repeat(249) + "1";
    let powers = "2**".repeat(166) + "1";
    let attributes = "inputs".to_owned() + &".a".repeat(249);
    let filters = "1".to_owned() + &"|abs".repeat(249);
    let alternatives = "1 if 1 else ".repeat(24) + "1";
    let ands = "1 and ".repeat(249) + "1";
    let compared = "1<".repeat(249) + "1";
    let items = format!("[{}]", "1,".repeat(249));
    let calls = "range".to_owned() + &"()".repeat(249);
    let tests = "1 is not ".repeat(100) + "none";
    for expression in [
        "'a' * 99999999",
        "range(1000000000) | list",
        "('a' * 1000) * 1000 * 1000",
        "'a' | replace('a', 'aaaaaaaaaa' * 1000) | replace('a', 'a' * 1000) | replace('a', 'a' * 1000)",
        "2 ** 100000",
        "9999999999999999999999999 * 99999999999999999999999999",
        "'%1000000000d' | format(1)",
        "'a' | indent(100000000)",
        "range(100000) | map('string') | list | sort | unique | list | join(',') | length",
        parens.as_str(),
        nots.as_str(),
        minuses.as_str(),
        lists.as_str(),
        nested.as_str(),
        sums.as_str(),
        powers.as_str(),
        attributes.as_str(),
        filters.as_str(),
        alternatives.as_str(),
        ands.as_str(),
        compared.as_str(),
        items.as_str(),
        calls.as_str(),
        tests.as_str(),
    ] {
        let text = format!("name = 'x'\n[machines.a]\nprovider = 'lab'\nenv = {{ A = \"{{{{ {expression} }}}}\" }}\n");
        // Whether it is refused or cheap enough: it ends.
        match load(&text) {
            Ok(loaded) => assert!(loaded.environment.machines[0].env["A"].as_static().unwrap().len() < 30_000_000),
            Err(failure) => assert!(!failure.render(false).is_empty()),
        }
    }
}

#[test]
fn thousands_of_errors_are_told_in_time() {
    let mut text = "name = 'x'\n".to_owned();
    for index in 0..20_000 {
        writeln!(text, "k{index} = '{{{{ nothing }}}}'").unwrap();
    }
    let told = wrong(&text);
    assert!(told.len() < 500_000);
}

#[test]
fn one_long_line_is_cut() {
    let text = format!(
        "name = 'x'\nq = [{}]\nmachines = 1 # {}\n",
        "1, ".repeat(100_000),
        "y".repeat(500_000)
    );
    assert!(wrong(&text).len() < 20_000);
}

#[test]
fn every_code_is_explained() {
    assert!(codes::explanations().len() > 30);
    assert!(codes::explain("E0103").is_some());
}

#[test]
#[expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "it measures and says what came of it"
)]
fn templates_that_are_bombs_end_quickly() {
    let mut slowest = std::time::Duration::ZERO;
    let deep = |open: &str, close: &str, times: usize| open.repeat(times) + &close.repeat(times);
    for template in [
        "{% for a in range(100000) %}{% for b in range(100000) %}x{% endfor %}{% endfor %}".to_owned(),
        "{{ 'a' * 99999999 }}".to_owned(),
        "{% set ns = namespace(x='aaaaaaaaaa') %}{% for i in range(100) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}{{ ns.x }}"
            .to_owned(),
        "{% macro m(n) %}{{ m(n) }}{{ m(n) }}{% endmacro %}{{ m(1) }}".to_owned(),
        "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(60) }}".to_owned(),
        format!("{{{{ {} }}}}", deep("(", ")", 100_000)),
        format!("{{{{ {} }}}}", deep("[", "]", 20)),
        format!("{{{{ {}1 }}}}", "not ".repeat(100_000)),
        format!("{{{{ {}1 }}}}", "1+".repeat(100_000)),
        deep("{% if 1 %}", "{% endif %}", 100_000),
        deep("{% for x in [1] %}", "{% endfor %}", 40),
        deep("{% with a = 1 %}", "{% endwith %}", 100_000),
        deep("{% filter upper %}", "{% endfilter %}", 100_000),
        format!("{{% if 0 %}}{}{{% endif %}}", "{% elif 0 %}".repeat(80_000)),
        "{{".repeat(500_000),
        "{%".repeat(500_000),
        "{#".repeat(500_000),
        "{% raw %}".repeat(100_000),
        format!("{{{{ '{}' }}}}", "x".repeat(1_000_000)),
        "{{ me.name }}".repeat(70_000),
        "{% for i in range(1000) %}{{ machines.web.endpoints('http') | join }}{% endfor %}".to_owned(),
        "{{ range(1000000) | map('string') | list | sort | join(',') }}".to_owned(),
    ] {
        let mut memory = Memory::new(FULL);
        memory.put("conf/app.conf.j2", &template);
        let began = std::time::Instant::now();
        // Whether it is refused or cheap enough: it ends.
        if let Err(failure) = load_from(&memory, |_| {}) {
            assert!(failure.render(false).len() < 100_000);
        }
        slowest = slowest.max(began.elapsed());
    }
    println!("the slowest template took {slowest:?}");
    let mut memory = Memory::new(FULL);
    memory.put("conf/app.conf.j2", &"x".repeat(1024 * 1024 + 1));
    let failure = load_from(&memory, |_| {}).expect_err("it is too large");
    assert_eq!(failure.diagnostics()[0].code.as_str(), "E0112");
}

#[test]
fn a_template_for_each_of_ten_thousand() {
    let text = "name = 'x'\n[machines.web]\nprovider = 'lab'\ncount = 10000\nports = { http = 80 }\n\
                setup = [{ template = 't.j2', to = '/t' }]\n";
    let mut memory = Memory::new(text);
    memory.put("t.j2", "I am {{ me.name }}, number {{ me.index }}.\n");
    assert_eq!(
        load_from(&memory, |_| {})
            .expect("it is fine")
            .environment
            .machines
            .len(),
        10_000
    );
    memory.put(
        "t.j2",
        "{{ me.name }}{% for m in machines.web %}{{ m.name }}{% endfor %}",
    );
    let failure = load_from(&memory, |_| {}).expect_err("a list of all for each is beyond the budget");
    assert_eq!(failure.diagnostics()[0].code.as_str(), "E0115");
}

#[test]
fn more_files_than_a_folder_may_have() {
    let mut memory =
        Memory::new("name = 'x'\n[machines.a]\nprovider = 'lab'\nsetup = [{ copy = 'many', to = '/m' }]\n");
    for index in 0..100_001 {
        memory.put(&format!("many/{index}"), "");
    }
    let failure = load_from(&memory, |_| {}).expect_err("it is too much");
    assert_eq!(failure.diagnostics()[0].code.as_str(), "E0112");
    memory.files.remove(std::path::Path::new("env/many/7"));
    assert!(load_from(&memory, |_| {}).is_ok());
}

#[test]
#[expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "it measures and says what came of it"
)]
fn a_file_of_five_hundred_lines_is_read_in_a_moment() {
    let mut text = FULL[..FULL.find("[[stages]]").expect("stages")].to_owned();
    let machine = "[machines.extraNN]\nprovider = 'docker'\ndocker.image = 'x:{{ inputs.version }}'\nports = { http = 80 }\n\
                   env = { A = \"{{ machines.db.endpoint('pg') }}\", B = '{{ me.name }}' }\n\
                   ready = [{ http = 'http', path = '/' }]\n\n";
    for index in 0..60 {
        text += &machine.replace("NN", &index.to_string());
    }
    assert!(text.lines().count() > 480);
    let memory = Memory::new(&text);
    let began = std::time::Instant::now();
    let loaded = load_from(&memory, |_| {});
    let took = began.elapsed();
    assert!(loaded.is_ok(), "{}", loaded.expect_err("it is refused").render(false));
    println!("{} lines are read and checked in {took:?}", text.lines().count());
}
