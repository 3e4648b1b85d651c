//! `stompp data` as a user meets it.

mod user;

use image::{Rgb, RgbImage};
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use user::{assert_fails, folder, stderr, stdout, stompp};

/// Two classes of three images for training and one for validation.
fn images() -> tempfile::TempDir {
    let images = folder();
    for (part, count) in [("train", 3), ("val", 1)] {
        for class in ["ant", "bee"] {
            let place = images.path().join(part).join(class);
            fs::create_dir_all(&place).unwrap();
            for index in 0..count {
                let blue = index * 40 + if class == "ant" { 9 } else { 99 };
                let image = RgbImage::from_fn(40, 30, |x, y| Rgb([x as u8 * 6, y as u8 * 8, blue]));
                image.save(place.join(format!("{index}.png"))).unwrap();
            }
        }
    }
    images
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_check_prints_a_table_and_writes_json() {
    let images = images();
    fs::write(images.path().join("train/ant/bad.jpg"), b"no image").unwrap();
    let json = images.path().join("report.json");
    let output = stompp(&["data", "check", text(images.path()), "--json", text(&json)]);
    let table = stdout(&output);
    let row = |name: &str| {
        let line = table
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap_or_else(|| panic!("{name} in {table}"));
        line[name.len()..].split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(row("images "), "7 2");
    assert_eq!(row("images a class"), "3 to 4 1");
    assert_eq!(row("width"), "40 (mean 40.0) 40 (mean 40.0)");
    assert_eq!(row("png RGB"), "6 2");
    assert_eq!(row("unreadable"), "1 0");
    assert_eq!(row("class ant"), "4 1");
    assert!(
        table.contains("1 cannot be read:\n  image ") && table.contains("bad.jpg: is not an image"),
        "{table}"
    );
    assert!(
        table.contains("2 groups of 4 images with identical pixels") && !table.contains("0.png"),
        "{table}"
    );
    let report: serde_json::Value = serde_json::from_slice(&fs::read(&json).unwrap()).unwrap();
    assert_eq!(report["parts"][0]["classes"]["ant"], 4);
    assert_eq!(report["parts"][0]["modes"]["png RGB"], 6);
    let groups = report["duplicates"].as_array().unwrap();
    assert_eq!(groups.len(), 2);
    assert!(
        groups.contains(&serde_json::json!(["train/ant/0.png", "val/ant/0.png"])),
        "{groups:?}"
    );

    let again = stompp(&["data", "check", text(images.path()), "--json", text(&json)]);
    assert_eq!(again.status.code(), Some(1));
    assert!(stderr(&again).contains("report.json"), "{}", stderr(&again));
}

#[test]
fn what_is_not_looked_at_is_said() {
    let (images, place) = (images(), folder());
    fs::write(images.path().join("train/ant/a.heic"), b"x").unwrap();
    fs::create_dir_all(images.path().join("train/zebra")).unwrap();
    fs::create_dir_all(images.path().join("train/.ipynb_checkpoints")).unwrap();
    let said = [
        "train: ignored 1 files that are not readable images: 1 .heic (the first: ant/a.heic)",
        "train: ignored 1 hidden folders, or folders of tools: .ipynb_checkpoints",
        "train: ignored 1 folders without images, which are not classes: zebra",
    ];
    let output = stompp(&["data", "check", text(images.path())]);
    let table = stdout(&output);
    assert!(
        table.contains(&format!("3 not looked at:\n  {}\n", said.join("\n  "))),
        "{table}"
    );
    let arguments = "train --dataset folder --data DATA --out OUT --image-size 8 --model resnet8 --width 4 --batch-size 3 \
                     --steps 6 --tail 0ba";
    let out = place.path().join("run");
    let arguments = arguments
        .replace("DATA", text(images.path()))
        .replace("OUT", text(&out));
    let output = stompp(&arguments.split_whitespace().collect::<Vec<_>>());
    for line in said {
        assert!(
            stderr(&output).contains(&format!("note: {line}\n")),
            "{}",
            stderr(&output)
        );
    }
    // An archive that is cut off: told by check, refused by train, a note where bad images are skipped.
    let tar = place.path().join("cut.tar");
    let mut builder = tar::Builder::new(Vec::new());
    builder.append_dir_all(".", images.path()).unwrap();
    let whole = builder.into_inner().unwrap();
    fs::write(&tar, &whole[..whole.len() - 1024]).unwrap();
    let output = stompp(&["data", "check", text(&tar)]);
    assert!(
        stdout(&output).contains("1 damaged, so that images may be missing:\n  "),
        "{}",
        stdout(&output)
    );
    let arguments = arguments
        .replace(text(images.path()), text(&tar))
        .replace("run", "other");
    let mut arguments: Vec<&str> = arguments.split_whitespace().collect();
    let problem = "has no end marker: it is cut off; 9 files before that were found";
    assert_fails(&stompp(&arguments), 1, &[problem, "--on-bad-image skip"]);
    arguments.extend(["--on-bad-image", "skip"]);
    let output = stompp(&arguments);
    stdout(&output);
    assert!(stderr(&output).contains(problem), "{}", stderr(&output));
}

#[test]
fn sets_in_cifars_layout_are_checked_too() {
    let place = folder();
    let shapes = place.path().join("shapes");
    let write = "data write SHAPES --train-limit 50 --test-limit 20".replace("SHAPES", text(&shapes));
    stdout(&stompp(&write.split(' ').collect::<Vec<_>>()));
    let output = stompp(&["data", "check", text(&shapes), "--dataset", "cifar10"]);
    let table = stdout(&output);
    assert!(table.contains("class 9") && table.contains("RGB"), "{table}");
    assert!(
        table
            .lines()
            .any(|line| line.starts_with("images a class") && line.ends_with('2')),
        "{table}"
    );
}

#[test]
fn a_pack_trains_and_is_checked_as_the_folder() {
    let (images, place) = (images(), folder());
    let pack = place.path().join("a.zip");
    let output = stompp(&["data", "pack", text(images.path()), text(&pack), "--short-side", "20"]);
    assert_eq!(
        stdout(&output),
        format!("{}: 8 images, 8 of them shrunk, 0 left out\n", pack.display())
    );
    let output = stompp(&["data", "check", text(&pack)]);
    assert!(
        stdout(&output)
            .lines()
            .any(|line| line.starts_with("height") && line.contains("20 (mean 20.0)"))
    );

    let out = place.path().join("run");
    let arguments = "train --dataset folder --data PACK --out OUT --image-size 8 --model resnet8 --width 4 --batch-size 3 \
                     --steps 6 --tail 0ba --quiet";
    let arguments = arguments.replace("PACK", text(&pack)).replace("OUT", text(&out));
    let trained = stompp(&arguments.split_whitespace().collect::<Vec<_>>());
    let evaluated = stompp(&["eval", text(&out)]);
    assert_eq!(stdout(&trained), stdout(&evaluated));

    let bad = images.path().join("train/bee/1.png");
    fs::write(&bad, b"no image").unwrap();
    let other = place.path().join("b.zip");
    let fails = stompp(&["data", "pack", text(images.path()), text(&other)]);
    assert_fails(&fails, 1, &["train/bee/1.png", "is not an image"]);
    assert!(!other.exists());
    let cifar = stompp(&["data", "pack", text(images.path()), text(&place.path().join("c.tar"))]);
    assert_fails(&cifar, 1, &["c.tar", ".zip"]);
}

#[test]
fn a_sheet_is_a_picture_and_never_written_over() {
    let (images, place) = (images(), folder());
    let sheet = place.path().join("sheet.png");
    let show = [
        "data",
        "show",
        text(images.path()),
        "--out",
        text(&sheet),
        "--image-size",
        "64",
        "--count",
        "5",
    ];
    stdout(&stompp(&show));
    let picture = image::open(&sheet).unwrap();
    assert_eq!((picture.width(), picture.height()), (8 * 132 + 4, 148));
    assert_fails(&stompp(&show), 1, &["sheet.png"]);
    let generated = place.path().join("generated.png");
    stdout(&stompp(&[
        "data",
        "show",
        "--dataset",
        "synthetic10",
        "--train-limit",
        "20",
        "--out",
        text(&generated),
    ]));
    assert!(image::open(&generated).unwrap().width() > 1000);
    assert_fails(
        &stompp(&["data", "show", "--out", text(&place.path().join("x.png"))]),
        2,
        &["data.path", "train/CLASS/NAME.jpeg"],
    );
}

#[test]
fn what_cannot_be_fetched_says_what_to_do_by_hand() {
    // A port on which nobody listens any more.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let place = folder();
    let url = format!("http://127.0.0.1:{port}/x");
    let output = stompp(&["data", "fetch", "cifar100", "--to", text(place.path()), "--url", &url]);
    let target = place.path().join("cifar-100-binary.tar.gz");
    assert_fails(
        &output,
        1,
        &[
            &format!("cannot reach {url}"),
            "By hand: get cifar-100-binary.tar.gz from https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
            "168513733 bytes, MD5 03b5dce01913d631647c71ecec9e9cb8",
            text(&target),
        ],
    );
    fs::write(&target, b"another file").unwrap();
    let output = stompp(&["data", "fetch", "cifar100", "--to", text(place.path())]);
    assert_fails(&output, 1, &["is there and has 12 bytes, expected 168513733"]);
    assert_fails(&stompp(&["data", "fetch", "svhn"]), 2, &["svhn", "cifar10"]);
}
