//! Tests of the HTML page and its figures.

use super::*;
use resvg::tiny_skia::Pixmap;

/// A sweep of all experiments and its page.
fn page() -> (SweepTest, PathBuf, String) {
    let test = SweepTest::new();
    test.run("all --seeds 2").unwrap();
    let folder = test.out().join("smoke/all");
    let html = fs::read_to_string(folder.join(report::PAGE)).unwrap();
    (test, folder, html)
}

#[test]
fn the_page_says_what_the_tables_say_and_needs_nothing_else() {
    let (_bench, folder, html) = page();
    let table = fs::read_to_string(folder.join(report::TABLES)).unwrap();
    let cells = table
        .lines()
        .filter(|line| line.starts_with('|'))
        .flat_map(|line| line.split('|'));
    for cell in cells
        .map(str::trim)
        .filter(|cell| !cell.is_empty() && !cell.starts_with("--"))
    {
        assert!(html.contains(&cell.replace('<', "&lt;")), "{cell}");
    }
    for outside in ["src=\"http", "href=\"http", "<script", "@import", "url("] {
        assert!(!html.contains(outside), "{outside}");
    }
    for experiment in builtin::ALL {
        assert!(html.contains(&format!("<section id=\"{}\">", experiment.name)));
        assert!(html.contains(&format!("<a href=\"#{}\">", experiment.name)));
    }
}

#[test]
fn every_tag_of_the_page_is_closed() {
    let (_bench, _, html) = page();
    let mut open = Vec::new();
    for tag in html.split('<').skip(1) {
        let tag = tag.split('>').next().unwrap();
        let name = tag.trim_start_matches('/').split([' ', '\n', '/']).next().unwrap();
        match tag {
            _ if tag.starts_with('/') => assert_eq!(open.pop(), Some(name), "closed by {tag}"),
            _ if tag.ends_with('/') || ["!DOCTYPE", "meta", "img"].contains(&name) => {}
            _ => open.push(name),
        }
    }
    assert_eq!(open, [""; 0]);
}

#[test]
fn the_text_of_an_error_is_escaped() {
    let test = SweepTest::new();
    let hostile = |_: &RunConfig| Err(TrainError::Device("<img src=x onerror=alert(1)>".to_owned()));
    test.run_as("", hostile).unwrap_err();
    let html = test.text(report::PAGE);
    assert!(html.contains("&lt;img src=x onerror=alert(1)&gt;") && !html.contains("<img src=x"));
}

#[test]
fn figures_are_files_too_and_the_same_runs_give_the_same_bytes() {
    let (_bench, folder, html) = page();
    let files = |folder: &Path| -> Vec<(String, Vec<u8>)> {
        let mut files: Vec<_> = fs::read_dir(folder.join("figures"))
            .unwrap()
            .map(|file| file.unwrap())
            .map(|file| (file.file_name().into_string().unwrap(), fs::read(file.path()).unwrap()))
            .collect();
        files.sort();
        files
    };
    let drawn = files(&folder);
    let names: Vec<_> = drawn.iter().filter_map(|(name, _)| name.strip_suffix(".svg")).collect();
    let expected = [
        "blockade-gradients",
        "depth-accuracy",
        "depth-gain",
        "dynamics-accuracy",
        "dynamics-frozen",
        "length-lead",
        "length-learned",
        "order-accuracy",
        "table1-accuracy",
        "table1-flips",
        "table1-frozen",
        "table1-speed",
        "table2-accuracy",
    ];
    assert_eq!(names, expected);
    assert_eq!(html.matches("<svg").count(), expected.len());
    for (name, bytes) in drawn.iter().filter(|(name, _)| name.ends_with(".png")) {
        let picture = Pixmap::decode_png(bytes).unwrap();
        let pixels = picture.pixels();
        let ink = pixels.iter().filter(|pixel| pixel.red() < 128).count();
        // A figure with text only would have some hundredths of a percent.
        assert!(
            ink * 2_000 > pixels.len() && ink * 2 < pixels.len(),
            "{name}: {ink} of {}",
            pixels.len()
        );
    }
    let (_again, folder, _) = page();
    assert!(files(&folder) == drawn);
}

#[test]
fn a_figure_has_a_panel_for_each_network_and_a_line_for_each_method() {
    let (_bench, folder, _) = page();
    let svg = |name: &str| fs::read_to_string(folder.join("figures").join(name)).unwrap();
    let depth = svg("depth-accuracy.svg");
    for words in [
        "ResNet-8, synthetic",
        "ResNet-20, synthetic",
        "ResNet-32, synthetic",
        "epoch",
        "top-1, %",
    ] {
        assert!(depth.contains(words), "{words}");
    }
    // Each panel has one line for STE, two for each freezing method (current and deploy network), and one for each method in the legend.
    let lines = |svg: &str, color: &str| {
        let lines = svg.split("<polyline").skip(1);
        lines
            .filter(|line| line.split('>').next().unwrap().contains(color))
            .count()
    };
    assert_eq!(lines(&depth, "#D55E00"), 3 * 2);
    // It also has a tick for each commit. These runs have 6 units.
    assert_eq!(lines(&depth, "#0072B2"), 3 * 3 + 3 * 6);
}

#[test]
fn units_that_are_cut_off_have_a_colour_of_their_own() {
    let test = SweepTest::new();
    test.run("blockade").unwrap();
    let text = |file: &str| fs::read_to_string(test.out().join("smoke/blockade").join(file)).unwrap();
    let grey = "#BEBEBE";
    assert!(!text("figures/blockade-gradients.svg").contains(grey));
    // The colour of an open unit without a gradient.
    let metrics = test
        .run_dir("resnet20-synthetic10-bnn-stompp-reverse-seed0")
        .join("metrics.jsonl");
    let cut = fs::read_to_string(&metrics)
        .unwrap()
        .replace("\"gradient_norm\":0.5", "\"gradient_norm\":0.0");
    fs::write(&metrics, cut).unwrap();
    test.run("blockade").unwrap();
    assert!(text("figures/blockade-gradients.svg").contains(grey));
    assert!(text(report::TABLES).contains("open units get no gradient at all in reverse order"));
    assert!(
        text(report::TABLES).contains("+100.0, n = 1"),
        "{}",
        text(report::TABLES)
    );
}
