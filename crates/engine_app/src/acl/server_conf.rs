//! Accounts and users as a part of a nats-server's configuration.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{Acl, Grant, User};

/// Where users' passwords come from.
#[derive(Clone, Debug)]
pub enum Passwords {
    /// Variables of the server's environment, named in the configuration: see [`User::variable`].
    Variables,
    /// These, by the names of the users.
    Given(BTreeMap<String, engine_net::config::Secret>),
}

impl Passwords {
    fn of(&self, user: &User) -> String {
        match self {
            Self::Variables => format!("${}", user.variable()),
            Self::Given(all) => format!("{:?}", all.get(&user.name).map_or("", |secret| secret.expose())),
        }
    }
}

/// What a nats-server's configuration needs for a world: an `accounts` block and the name of the system account.
#[must_use]
pub fn configuration(acl: &Acl, passwords: &Passwords) -> String {
    let (account, log_account) = (acl.account(), acl.log_account());
    let users = acl.users();
    let mut text = format!(
        "# Accounts and users of the world `{}`, made by `engine acl`. Include it from the server's configuration, which\n\
         # needs a `jetstream` block of its own: include \"nats-accounts.conf\"\n",
        acl.world
    );
    if matches!(passwords, Passwords::Variables) {
        text.push_str(
            "# Passwords are variables of the server's environment. Begin each with a letter: the server reads\n",
        );
        text.push_str("# one of digits as a number.\n");
    }
    put(&mut text, format_args!("accounts {{\n  {account:?} {{\n"));
    if acl.has_streams() {
        text.push_str("    # The streams of domains; the log's are elsewhere.\n    jetstream: enabled\n");
    }
    text.push_str("    users [\n");
    for user in &users {
        put_user(&mut text, user, passwords);
    }
    text.push_str("    ]\n  }\n");
    put(
        &mut text,
        format_args!("  # The world log: coordinators write it, operators read it.\n  {log_account:?} {{\n"),
    );
    text.push_str("    jetstream: enabled\n");
    text.push_str("    # So that a coordinator can see whether the server syncs, for `--durability disk`.\n");
    text.push_str("    imports [ { service: { account: \"SYS\", subject: \"$SYS.REQ.SERVER.PING.VARZ\" } } ]\n");
    text.push_str("    users [\n");
    for user in users.iter().filter_map(|user| user.log.as_deref()) {
        put_user(&mut text, user, passwords);
    }
    text.push_str("    ]\n  }\n");
    put(
        &mut text,
        format_args!(
            "  SYS {{\n    exports [ {{ service: \"$SYS.REQ.SERVER.PING.VARZ\", accounts: [{log_account:?}], response: \
             stream }} ]\n  }}\n}}\nsystem_account: SYS\n"
        ),
    );
    text
}

fn put_user(text: &mut String, user: &User, passwords: &Passwords) {
    put(text, format_args!("      {{\n        user: {:?}\n        password: {}\n", user.name, passwords.of(user)));
    let Grant { publish, publish_never, subscribe } = &user.grant;
    put(text, format_args!("        permissions {{\n          publish {{\n            allow: {}\n", list(publish)));
    if !publish_never.is_empty() {
        put(text, format_args!("            deny: {}\n", list(publish_never)));
    }
    put(text, format_args!("          }}\n          subscribe {{\n            allow: {}\n", list(subscribe)));
    text.push_str("          }\n        }\n      }\n");
}

fn list(subjects: &[String]) -> String {
    let mut text = "[\n".to_owned();
    for subject in subjects {
        put(&mut text, format_args!("              {subject:?}\n"));
    }
    text.push_str("            ]");
    text
}

fn put(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    text.write_fmt(arguments).expect("a string takes everything");
}
