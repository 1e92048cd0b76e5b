//! What a person gets wrong on the command line and in a profile.

use integration::{Dray, Kind, World, mixed};
use serde_json::json;

#[test]
fn an_invalid_profile_has_all_its_problems_told_at_once() {
    let world = World::embedded();
    world.put_all(&mixed(3));
    let mut globex = world.neighbour("globex", Kind::Embedded);
    globex.profile["partner"] = "Globex Ltd".into();
    globex.profile["source"]["host_keys"] = json!([]);
    globex.profile["source"]["after_delivery"] = "move".into();
    globex.profile["target"]["auth"] = json!({});
    globex.profile["report"]["url"] = "http://api.example".into();
    let finished = Dray::run(&world, &[&globex]).finish().expect_code(2);
    let fields =
        ["partner:", "source.host_keys:", "source.move_to:", "target.auth:", "report.url:"];
    for field in fields {
        assert!(finished.stderr.contains(field), "{field} is not in:\n{}", finished.stderr);
    }
    assert!(finished.stderr.contains("globex.json"), "{}", finished.stderr);
    assert!(finished.stderr.contains("5 problems"), "{}", finished.stderr);
    assert_eq!(world.opened().len(), 6, "the partner beside it is served");
}

#[test]
fn a_profile_of_the_wrong_shape_is_refused_before_anything_is_touched() {
    let mut world = World::embedded();
    world.profile["sorce"] = json!({});
    world.profile["source"]["port"] = "twenty-two".into();
    world.profile.as_object_mut().unwrap().remove("target");
    let finished = Dray::run(&world, &[]).arg("--json").finish().expect_code(2);
    let line = &finished.json()[0];
    assert_eq!(
        (&line["verdict"], &line["error"]["code"]),
        (&json!("Misconfigured"), &json!("profile.invalid"))
    );
    let message = line["error"]["message"].as_str().unwrap();
    for words in ["sorce", "source.port", "target"] {
        assert!(message.contains(words), "{words} is not in {message}");
    }
}

#[test]
fn a_command_that_cannot_be_meant_ends_with_status_two() {
    let world = World::embedded();
    let missing = Dray::run_profiles(&world, &["/no/such/profile.json".into()]).finish();
    let missing = missing.expect_code(2);
    assert!(missing.stderr.contains("/no/such/profile.json cannot be read"), "{}", missing.stderr);
    let twice = world.profile_file(&world);
    let twice = Dray::run_profiles(&world, &[twice.clone(), twice]).finish().expect_code(2);
    assert!(twice.stderr.contains("is given twice"), "{}", twice.stderr);
    let arguments = ["run", "x.json", "--state", "/tmp", "--secrets", "/no/such/folder"];
    let none = Dray::new(arguments).finish().expect_code(2);
    assert!(none.stderr.contains("no secrets folder /no/such/folder"), "{}", none.stderr);
    let inject = Dray::run(&world, &[]).arg("--inject").arg("Uplaod=error").finish();
    assert!(inject.expect_code(2).stderr.contains("Uplaod"));
}
