//! Accounts and users as a shell script of `nsc` commands, for servers with JWTs.

use std::fmt::Write as _;

use super::{Acl, User};

/// What an account that may have streams is told.
const JETSTREAM: &str = "--js-mem-storage -1 --js-disk-storage -1 --js-streams -1 --js-consumer -1";

/// A script for `sh`: makes the accounts, their users, and a file of credentials for each.
#[must_use]
pub fn script(acl: &Acl) -> String {
    let (account, log_account) = (acl.account(), acl.log_account());
    let mut text = format!(
        "#!/bin/sh\n\
         # Accounts and users of the world `{}`, made by `engine acl --format nsc`. It needs an operator (`nsc init`), and\n\
         # writes a credentials file for each user to the current directory. Then: nsc push --all\n\
         set -eu\n\
         umask 077\n\n\
         nsc add account --name {account}\n\
         nsc add account --name {log_account}\n\
         nsc edit account --name {log_account} {JETSTREAM}\n",
        acl.world
    );
    if acl.has_streams() {
        put(&mut text, format_args!("nsc edit account --name {account} {JETSTREAM}\n"));
    }
    for user in acl.users() {
        put_user(&mut text, &account, &user);
        if let Some(log) = &user.log {
            put_user(&mut text, &log_account, log);
        }
    }
    text.push_str("\n# What each process is told beside its credentials file (NATS_CREDS, NATS_LOG_CREDS):\n");
    for user in acl.users() {
        let told = user
            .environment(acl, |_| String::new())
            .into_iter()
            .filter(|(name, _)| !["NATS_USER", "NATS_PASSWORD", "NATS_LOG_USER", "NATS_LOG_PASSWORD"].contains(name));
        let told: Vec<String> = told.map(|(name, value)| format!("{name}={value}")).collect();
        put(&mut text, format_args!("# {}: {}\n", user.name, told.join(" ")));
    }
    text
}

fn put_user(text: &mut String, account: &str, user: &User) {
    put(text, format_args!("\nnsc add user --account {account} --name {}", user.name));
    let lists = [
        ("--allow-pub", &user.grant.publish),
        ("--deny-pub", &user.grant.publish_never),
        ("--allow-sub", &user.grant.subscribe),
    ];
    for (flag, subjects) in lists.into_iter().filter(|(_, subjects)| !subjects.is_empty()) {
        // No name has a quote in it: they are tokens.
        put(text, format_args!(" \\\n  {flag} '{}'", subjects.join(",")));
    }
    put(text, format_args!("\nnsc generate creds --account {account} --name {0} > {0}.creds\n", user.name));
}

fn put(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    text.write_fmt(arguments).expect("a string takes everything");
}
