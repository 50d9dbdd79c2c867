//! Hosts whose keys nobody knows yet, and hosts of an inventory.

use std::process::Command;

use crate::bed::Bed;
use crate::lab::Lab;

fn fingerprint(lab: &Lab) -> String {
    let mut told = Command::new("ssh-keygen");
    let told = told
        .arg("-lf")
        .arg(lab.at("host.pub"))
        .output()
        .expect("apt-get install openssh-client");
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    told.split(' ').nth(1).expect("a fingerprint").to_owned()
}

/// A lab of one host that the settings know by an inventory, and not its key.
fn lab(form: &str) -> (Lab, Bed) {
    let lab = Lab::start(1).expect("apt-get install openssh-server openssh-client");
    let bed = Bed::with_local();
    let (port, identity) = (lab.ports[0], lab.at("user"));
    let identity = identity.display();
    let inventory = match form {
        "ini" => format!(
            "[ssd]\nrack_1 ansible_host=127.0.0.1 ansible_port={port}\n[all:vars]\nansible_user=root\nansible_ssh_private_key_file={identity}\n"
        ),
        _ => format!(
            "{{\"_meta\":{{\"hostvars\":{{\"rack_1\":{{\"ansible_host\":\"127.0.0.1\",\"ansible_port\":{port},\"ansible_ssh_private_key_file\":\"{identity}\"}}}}}},\"ssd\":{{\"hosts\":[\"rack_1\"]}}}}"
        ),
    };
    let inventory = bed.write(&format!("hosts.{form}"), &inventory);
    let settings = format!(
        "[providers.lab]\nkind = \"ssh\"\nssh_config = \"/dev/null\"\ninventory = \"{}\"\nfolder = \"{}\"\n",
        inventory.display(),
        lab.at("claims").display()
    );
    bed.write("home/.config/encamp/settings.toml", &settings);
    let file = "name = \"camp\"\n[machines.m]\nprovider = \"lab\"\nssh.labels = [\"ssd\"]\n[[stages]]\nname = \"s\"\n\
                tasks = [{ name = \"t\", on = \"m\", run = \"true\" }]\n";
    bed.write("encamp.toml", file);
    (lab, bed)
}

#[test]
fn a_host_is_trusted_by_its_fingerprint_alone() {
    let (lab, bed) = lab("json");
    let host = format!("[127.0.0.1]:{}", lab.ports[0]);
    let refused = bed.encamp(&["run"]).exits(3);
    assert!(refused.stderr.contains(&format!("encamp trust {host}")), "{refused}");
    let known = bed.path().join("home/.ssh/known_hosts");
    let real = fingerprint(&lab);
    for name in [host.as_str(), &format!("127.0.0.1:{}", lab.ports[0])] {
        let shown = bed.encamp(&["trust", name]).exits(0);
        assert!(
            shown.stdout.contains(&real) && shown.stderr.contains("nothing is trusted yet"),
            "{shown}"
        );
    }
    let wrong = bed.encamp(&["trust", &host, "SHA256:AAAA"]);
    assert!(wrong.code == 2 && wrong.stderr.contains(&real), "{wrong}");
    assert!(!known.exists());
    bed.encamp(&["trust", &host, &real]).exits(0);
    bed.encamp(&["run"]).exits(0);
    // Again says the same, and another key stays the one that counts.
    bed.encamp(&["trust", &host, &real]).exits(0);
    let text = bed.read("home/.ssh/known_hosts");
    assert_eq!(text.lines().count(), 1, "{text}");
    let user = std::fs::read_to_string(lab.at("user.pub")).expect("it has a key");
    let key = user.split(' ').nth(1).expect("a key");
    let other = format!("{host} ssh-ed25519 {key}\n");
    bed.write("home/.ssh/known_hosts", &other);
    let refused = bed.encamp(&["trust", &host, &real]);
    assert!(
        refused.code == 2 && refused.stderr.contains("ssh-keygen -R"),
        "{refused}"
    );
    assert_eq!(bed.read("home/.ssh/known_hosts"), other);
}

#[test]
fn an_inventory_is_read_as_ansible_reads_it() {
    let (lab, bed) = lab("ini");
    let host = format!("[127.0.0.1]:{}", lab.ports[0]);
    let shown = bed.encamp(&["trust", &host, &fingerprint(&lab)]);
    assert_eq!(
        shown.code, 0,
        "apt-get install ansible-core, if that is missing: {shown}"
    );
    bed.encamp(&["run"]).exits(0);
    bed.write("hosts.ini", "[ssd\n");
    let broken = bed.encamp(&["run"]);
    assert!(broken.code != 0 && broken.stderr.contains("hosts.ini"), "{broken}");
}

#[test]
fn a_host_that_is_meant_by_its_address_is_known_where_its_settings_say() {
    let (lab, bed) = lab("json");
    let settings = bed.read("home/.config/encamp/settings.toml");
    let known = bed.path().join("known");
    bed.write(
        "home/.config/encamp/settings.toml",
        &format!("{settings}known_hosts = \"{}\"\n", known.display()),
    );
    let refused = bed.encamp(&["run"]).exits(3);
    let host = format!("[127.0.0.1]:{}", lab.ports[0]);
    assert!(
        refused.stderr.contains(&format!("encamp trust {host} FINGERPRINT")),
        "{refused}"
    );
    bed.encamp(&["trust", &host, &fingerprint(&lab)]).exits(0);
    assert!(known.exists() && !bed.path().join("home/.ssh/known_hosts").exists());
    bed.encamp(&["run"]).exits(0);
    // Nobody listens there.
    let silent = bed.encamp(&["trust", "[127.0.0.1]:1"]).exits(3);
    assert!(
        silent.stderr.contains("E0401") && silent.stderr.contains("shows no key"),
        "{silent}"
    );
}
