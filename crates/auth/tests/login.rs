//! Logins, as a client makes them.

use std::time::Instant;

use ferromq_auth::{
    AuthError, Authenticator, MAX_PASSWORD_BYTES, Principal, Refusal, Secret, User, hash_password,
};

const KEY: [u8; 32] = [9; 32];

fn user(name: &str, secret: Secret, groups: &[&str]) -> User {
    User { name: name.into(), secret, groups: groups.iter().map(|group| (*group).to_owned()).collect() }
}

fn plain(password: &str) -> Secret {
    Secret::Password(password.into())
}

fn hashed(password: &str) -> Secret {
    Secret::Hash(hash_password(password, b"0123456789abcdef").expect("a hash"))
}

#[test]
fn an_open_broker_takes_everybody_by_their_word() {
    let open = Authenticator::open();
    assert!(open.is_open());
    assert_eq!(open.authenticate(None, None), Ok(Principal::default()));
    let named = open.authenticate(Some("ann"), Some("whatever")).expect("let in");
    assert_eq!((named.user(), named.groups()), (Some("ann"), &[][..]));
}

#[test]
fn users_log_in_with_their_password_only() {
    let both = [user("ann", hashed("s3cret"), &["ops", "dev"]), user("bob", plain("pässword"), &[])];
    let authenticator = Authenticator::new(both, KEY).expect("users");
    assert!(!authenticator.is_open());

    // Before the first right password, after it, and interleaved: the answers are the same.
    for _ in 0..3 {
        for (name, password) in [
            (Some("ann"), Some("S3cret")),
            (Some("ann"), Some("")),
            (Some("ann"), None),
            (Some("Ann"), Some("s3cret")),
            (Some("bob"), Some("s3cret")),
            (Some("eve"), Some("s3cret")),
            (Some(""), Some("")),
            (None, Some("s3cret")),
            (None, None),
        ] {
            let refusal = authenticator.authenticate(name, password).expect_err("refused");
            assert_eq!(
                refusal.to_string(),
                format!("User name [{}] or password is invalid.", name.unwrap_or("null")),
                "{name:?} {password:?}"
            );
        }
        let ann = authenticator.authenticate(Some("ann"), Some("s3cret")).expect("ann");
        assert_eq!(ann.groups(), ["ops", "dev"]);
        assert!(ann.is_in("ops") && !ann.is_in("admins"));
        assert!(authenticator.authenticate(Some("bob"), Some("pässword")).is_ok());
    }
}

#[test]
fn a_password_is_hashed_once_however_often_it_comes() {
    let authenticator = Authenticator::new([user("ann", hashed("s3cret"), &[])], KEY).expect("users");
    let started = Instant::now();
    authenticator.authenticate(Some("ann"), Some("s3cret")).expect("ann");
    let first = started.elapsed();
    let started = Instant::now();
    for _ in 0..100 {
        authenticator.authenticate(Some("ann"), Some("s3cret")).expect("ann");
        authenticator.authenticate(Some("ann"), Some("guess")).expect_err("refused");
    }
    let later = started.elapsed() / 200;
    assert!(later * 5 < first, "first {first:?}, later {later:?}");
}

#[test]
fn lengths_are_bounded() {
    let authenticator = Authenticator::new([user("ann", plain("x"), &[])], KEY).expect("users");
    let long = "x".repeat(1_000_000);
    assert!(authenticator.authenticate(Some("ann"), Some(&long)).is_err());
    let Err(Refusal::Credentials { user: Some(echoed), .. }) =
        authenticator.authenticate(Some(&long), Some("x"))
    else {
        unreachable!("a name of a megabyte is nobody's");
    };
    assert_eq!(echoed.len(), 64);
    assert!(hash_password(&"x".repeat(MAX_PASSWORD_BYTES), &[1; 16]).is_ok());
    assert!(hash_password(&"x".repeat(MAX_PASSWORD_BYTES + 1), &[1; 16]).is_err());
    assert!(hash_password("", &[1; 16]).is_err());
}

#[test]
fn hashes_of_one_password_differ_by_salt_and_are_phc_strings() {
    let (one, other) = (hash_password("x", &[1; 16]), hash_password("x", &[2; 16]));
    assert_ne!(one, other);
    assert!(one.expect("a hash").starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
    // Made by the reference implementation: echo -n password | argon2 somesalt -id -t 2 -m 16 -p 1 -l 32
    let reference = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
    let authenticator =
        Authenticator::new([user("ann", Secret::Hash(reference.into()), &[])], KEY).expect("users");
    assert!(authenticator.authenticate(Some("ann"), Some("password")).is_ok());
    assert!(authenticator.authenticate(Some("ann"), Some("passwort")).is_err());
}

#[test]
fn wrong_users_are_named_with_the_remedy() {
    let build = |users: Vec<User>| Authenticator::new(users, KEY).expect_err("wrong").to_string();
    assert_eq!(build(vec![]), AuthError::NoUsers.to_string());
    assert_eq!(build(vec![user("", plain("x"), &[])]), AuthError::NoName.to_string());
    assert_eq!(
        build(vec![user("ann", plain("x"), &[]), user("ann", plain("y"), &[])]),
        "user ann is listed twice; keep one of them"
    );
    assert_eq!(
        build(vec![user("ann", plain(""), &[])]),
        "user ann: the password is empty; set one, or leave the user out"
    );
    for (hash, reason) in [
        ("secret", "user ann: the password hash is not usable"),
        ("$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ", "the salt or the hash is missing"),
        (
            "$scrypt$ln=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
            "the algorithm is scrypt, not argon2",
        ),
        (
            "$argon2id$v=19$m=4000000,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
            "parameter m is above 262144",
        ),
    ] {
        let text = build(vec![user("ann", Secret::Hash(hash.into()), &[])]);
        assert!(text.contains(reason), "{hash}: {text}");
    }
}

#[test]
fn only_a_hash_whose_password_was_not_seen_takes_long() {
    let authenticator =
        Authenticator::new([user("ann", hashed("s3cret"), &[]), user("bob", plain("x"), &[])], KEY)
            .expect("users");
    let long = |name, password| authenticator.takes_long(name, password);
    assert!(long(Some("ann"), Some("s3cret")) && long(Some("ann"), Some("guess")));
    for (name, password) in
        [(Some("bob"), Some("x")), (Some("eve"), Some("x")), (Some("ann"), None), (None, None)]
    {
        assert!(!long(name, password), "{name:?}");
    }
    authenticator.authenticate(Some("ann"), Some("s3cret")).expect("the right password");
    assert!(!long(Some("ann"), Some("s3cret")) && !long(Some("ann"), Some("guess")));
    assert!(!Authenticator::open().takes_long(Some("ann"), Some("x")));
}

#[test]
fn no_debug_text_shows_a_secret() {
    let ann = user("ann", plain("s3cret"), &[]);
    assert!(!format!("{ann:?}").contains("s3cret"));
    let authenticator = Authenticator::new([ann], KEY).expect("users");
    assert_eq!(format!("{authenticator:?}"), r#"Authenticator { users: Some(["ann"]), .. }"#);
}

#[test]
fn clients_without_a_name_are_let_in_if_that_is_allowed_and_wrong_ones_are_not() {
    let authenticator = Authenticator::new([user("ann", plain("s3cret"), &[])], KEY).expect("users");
    assert!(authenticator.authenticate(None, None).is_err());

    let authenticator = authenticator.with_anonymous("anonymous".into(), vec!["guests".into()]);
    for (name, password) in [(None, None), (Some(""), Some("")), (None, Some(""))] {
        let guest = authenticator.authenticate(name, password).expect("a guest");
        assert_eq!(guest.user(), Some("anonymous"));
        assert!(guest.is_in("guests"));
    }
    assert!(authenticator.authenticate(Some("ann"), None).is_err());
    assert!(authenticator.authenticate(Some("ann"), Some("guess")).is_err());
    assert!(authenticator.authenticate(None, Some("s3cret")).is_err());
    assert!(authenticator.authenticate(Some("ann"), Some("s3cret")).is_ok());
}
