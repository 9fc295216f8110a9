//! The person at the keyboard, by the name that the operating system has for them. A claim, like all that a shell says of itself.

/// The name of the user who runs this process.
pub(crate) fn name() -> String {
    let id = rustix::process::geteuid().as_raw();
    let known = std::fs::read_to_string("/etc/passwd").ok().and_then(|users| of(&users, id));
    known.or_else(|| crate::lanes::variable("USER")).unwrap_or_else(|| format!("uid {id}"))
}

/// The name of a user in a list of users.
fn of(users: &str, id: u32) -> Option<String> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, number) = (fields.next()?, fields.nth(1)?);
        (number.parse() == Ok(id)).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_the_name_of_its_number() {
        let users = "root:x:0:0:root:/root:/bin/sh\n# a comment\nada:x:1000:1000:Ada:/home/ada:/bin/sh\n";
        assert_eq!(
            (of(users, 1000).as_deref(), of(users, 0).as_deref(), of(users, 7)),
            (Some("ada"), Some("root"), None)
        );
        assert!(!name().is_empty());
    }
}
