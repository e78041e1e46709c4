//! What a role's settings are in the end, and where each comes from.

use clap::{ArgAction, ArgMatches, Command};
use engine_net::config::{ConfigError, ConnectionArgs, Effective, Origin, ROLES, environment};

use super::{Read, arguments, deepest, deepest_command, settings};

/// All settings of the role that a command line is about; secrets are not shown.
///
/// `others` are the commands of roles whose tables in the file are looked through as well.
///
/// # Errors
/// When one of the layers is wrong.
pub fn effective(
    mut command: Command,
    read: &Read,
    connection: &ConnectionArgs,
    others: &[(&str, Command)],
) -> Result<Vec<Effective>, ConfigError> {
    command.build();
    let (role, of_role) = deepest(&read.matches);
    let role = role.unwrap_or_default();
    if let Some(file) = &read.file {
        for (name, command) in others.iter().filter(|(name, _)| *name != role) {
            let keys: Vec<String> = settings(command).into_iter().map(|setting| setting.key).collect();
            file.check_keys(Some(name), &keys.iter().map(String::as_str).collect::<Vec<_>>())?;
        }
    }
    let layers = connection.layers(read.file.as_ref(), &ROLES, &environment)?;
    layers.config()?;
    let mut all = layers.effective();
    for arg in arguments(deepest_command(&command, &read.matches)) {
        let flag = format!("--{}", arg.get_long().unwrap_or_default());
        all.push(Effective {
            table: Some(role.to_owned()),
            key: flag[2..].replace('-', "_"),
            value: value(of_role, arg.get_id().as_str(), arg.get_action()),
            origin: read.origins.get(&flag).cloned().unwrap_or(Origin::Default),
        });
    }
    Ok(all)
}

fn value(matches: &ArgMatches, id: &str, action: &ArgAction) -> Option<String> {
    if matches!(action, ArgAction::SetTrue) {
        return Some(matches.get_flag(id).to_string());
    }
    let values = matches.get_raw(id)?.map(|value| value.to_string_lossy().into_owned());
    Some(values.collect::<Vec<_>>().join(","))
}
