//! What a role's settings are in the end, and where each comes from.

use clap::{ArgAction, ArgMatches, Command};
use engine_net::config::{ConfigError, ConnectionArgs, Effective, Origin, ROLES, environment};

use super::{Read, RoleSetting, check_table, deepest, deepest_command, settings};

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
            check_table(file, name, &settings(command))?;
        }
    }
    let layers = connection.layers(read.file.as_ref(), &ROLES, &environment)?;
    layers.config()?;
    let mut all = layers.effective();
    for RoleSetting { id, flag, key, action, .. } in settings(deepest_command(&command, &read.matches)) {
        all.push(Effective {
            table: Some(role.to_owned()),
            key,
            value: value(of_role, &id, &action),
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
