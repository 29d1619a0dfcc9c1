//! Configuration files: what they lead to, and what mistakes in them look like.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use gradus::train::Config;
use gradus::train::config::{
    BATCH_TRANSFORMS, DATASETS, DEFAULT, LAYERS, LOSSES, METRICS, OPTIMIZERS, Row, SCHEDULES,
    TRANSFORMS, Training,
};

use crate::command::{fails, folder, gradus, succeeds};

const SNAPSHOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cli/config_errors.txt");
const CONFIGS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../configs");

/// A configuration of the digits, with a part of it replaced.
fn changed(old: &str, new: &str) -> String {
    assert!(DEFAULT.contains(old), "{old} is not in the default");
    DEFAULT.replacen(old, new, 1)
}

/// Every mistake with the message it gets: read the file as someone who has never seen the code.
/// After a change on purpose, run with `UPDATE_SNAPSHOTS=1` and read the difference.
#[test]
fn mistakes_in_a_configuration_are_as_recorded() {
    let dir = folder("config-mistakes");
    let cases = [
        ("a misspelt table", changed("[optimizer]", "[optimiser]")),
        ("a misspelt key of a layer", changed("out_features", "out_feature")),
        ("a misspelt key of the training", changed("batch_size", "batchsize")),
        ("a misspelt layer", changed("\"ReLU\"", "\"Relu\"")),
        ("a layer that does not exist", changed("\"ReLU\"", "\"Quux\"")),
        ("a misspelt optimizer", changed("\"Adam\"", "\"adm\"")),
        ("a misspelt dataset", changed("\"digits\"", "\"digit\"")),
        ("a key that its layer does not have", changed("\"ReLU\"", "{ type = \"ReLU\", p = 1 }")),
        ("text instead of a number", changed("0.003", "\"fast\"")),
        ("a number out of range", changed("0.003", "-0.003")),
        ("a fraction instead of a whole number", changed("256", "2.5")),
        ("a size of zero", changed("256", "0")),
        ("a table instead of a value", changed("epochs = 30", "epochs = { all = 1 }")),
        ("options that contradict each other", changed("lr = 0.003", "betas = [0.9, 1.5]")),
        ("one number instead of two", changed("lr = 0.003", "betas = [0.9]")),
        ("a misspelt metric", format!("{DEFAULT}[metrics]\nevaluation = [\"F1score\"]\n")),
        ("a metric for numbers", format!("{DEFAULT}[metrics]\nevaluation = [\"R2Score\"]\n")),
        (
            "an average that there is not",
            format!(
                "{DEFAULT}[metrics]\nevaluation = [{{ type = \"AUROC\", average = \"micro\" }}]\n"
            ),
        ),
        (
            "more guesses than classes",
            format!("{DEFAULT}[metrics]\nevaluation = [{{ type = \"TopKAccuracy\", k = 11 }}]\n"),
        ),
        ("a layer without a type", changed("type = \"Linear\", ", "")),
        ("a misspelt list of layers", changed("layers =", "layer =")),
        (
            "no layers",
            "[data]
type = \"digits\"

[model]
layers = []
"
            .to_owned(),
        ),
        ("no data", changed("[data]\ntype = \"digits\"", "")),
        ("no TOML", changed("\"digits\"", "\"digits")),
        ("a key given twice", changed("lr = 0.003", "lr = 0.003\nlr = 0.004")),
        ("a dataset without its path", changed("\"digits\"", "\"mnist\"")),
        ("a mean without a deviation", changed("\"digits\"", "\"digits\"\nmean = [0.5]")),
        (
            "normalisation of channels that are not there",
            changed("\"digits\"", "\"digits\"\nmean = [1, 1, 1]\nstd = [1, 1, 1]"),
        ),
        (
            "a size missing in the middle",
            changed("{ type = \"Linear\", out_features = 256 }", "\"Linear\""),
        ),
        (
            "a layer that cannot follow the one before",
            changed("    \"Linear\",", "    { type = \"Linear\", in_features = 128 },"),
        ),
        (
            "a layer that cannot read the data",
            changed(
                "    \"Flatten\",\n",
                "    { type = \"Linear\", in_features = 64, out_features = 9 },\n",
            ),
        ),
        (
            "an output that does not suit the data",
            changed("    \"Linear\",", "    { type = \"Linear\", out_features = 12 },"),
        ),
        ("a parameter that fits no memory", changed("256", "2_000_000_000")),
        ("a size beyond all bounds", changed("256", "99_999_999_999")),
        (
            "a loss that does not suit the data",
            changed("[train]", "[loss]\ntype = \"MSELoss\"\n\n[train]"),
        ),
        (
            "normalisation twice",
            changed(
                "\"digits\"",
                "\"digits\"\nmean = [0.5]\nstd = [0.5]\ntransforms = [{ type = \"Normalize\", mean = [0], std = \
                 [1] }]",
            ),
        ),
        (
            "more than all hues",
            changed(
                "\"digits\"",
                "\"digits\"\ntransforms = [{ type = \"ColorJitter\", hue = 0.8 }]",
            ),
        ),
        ("validation without samples", changed("epochs = 30", "epochs = 30\nvalidate_steps = 5")),
        (
            "a schedule without its length",
            changed("[train]", "[schedule]\ntype = \"StepLR\"\n\n[train]"),
        ),
    ];
    let mut text = String::new();
    for (mistake, config) in cases {
        fs::write(dir.join("my.toml"), config).unwrap();
        let message = fails(&dir, &["train", "my.toml"], 2);
        writeln!(text, "## {mistake}\n\n{message}").unwrap();
    }
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 1, "a folder was made");
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        fs::write(SNAPSHOT, &text).unwrap();
        return;
    }
    let recorded = fs::read_to_string(SNAPSHOT).unwrap();
    for (was, is) in recorded.split("## ").zip(text.split("## ")) {
        assert_eq!(was, is, "\nrun with UPDATE_SNAPSHOTS=1 if the change is meant");
    }
    assert_eq!(recorded.len(), text.len());
}

#[test]
fn files_that_cannot_be_read_end_with_1() {
    let dir = folder("config-files");
    let message = fails(&dir, &["train", "nowhere.toml"], 1);
    assert!(message.contains("nowhere.toml") && message.contains("check the path"), "{message}");
    let message = fails(&dir, &["train", "."], 1);
    assert!(message.contains(". is a folder"), "{message}");
    fs::write(dir.join("bytes.toml"), [0xff, 0xfe, 0x00]).unwrap();
    assert!(fails(&dir, &["train", "bytes.toml"], 1).contains("bytes.toml"));
    for of in ["nowhere", "."] {
        assert!(fails(&dir, &["summary", of], 1).contains(of));
    }
}

#[test]
fn options_override_the_file() {
    let dir = folder("config-options");
    fs::write(dir.join("my.toml"), DEFAULT).unwrap();
    let options = ["--epochs", "1", "--lr", "1e-3", "--seed", "9", "--batch-size", "64"];
    succeeds(&dir, &[&["train", "my.toml", "--out", "run"], &options[..]].concat());
    let resolved = fs::read_to_string(dir.join("run/config.toml")).unwrap();
    for line in ["epochs = 1", "lr = 0.001", "seed = 9", "batch_size = 64", "device = \"cpu\""] {
        assert!(resolved.lines().any(|l| l == line), "{line} is not in\n{resolved}");
    }
    // What was resolved is a configuration, of the same run.
    succeeds(&dir, &["train", "run/config.toml", "--out", "again"]);
    let model = |run: &str| fs::read(dir.join(run).join("model.safetensors")).unwrap();
    assert!(model("again") == model("run"));
    // So is the one without options.
    succeeds(&dir, &["train", "--epochs", "1", "--out", "plain"]);
    succeeds(&dir, &["train", "my.toml", "--epochs", "1", "--out", "file"]);
    assert!(model("plain") == model("file"));
    // A run that ends before its epochs do says so.
    let short = format!("{DEFAULT}max_steps = 30\n").replace("batch_size = 32", "batch_size = 64");
    fs::write(dir.join("short.toml"), short).unwrap();
    let told = succeeds(&dir, &["train", "short.toml", "--epochs", "2", "--out", "short"]);
    assert!(told.contains("ended after step 30 of 46, as `max_steps` says"), "{told}");
}

#[test]
fn a_number_is_predicted_from_a_table() {
    let dir = folder("regression");
    let mut table = "a,b,y\n".to_owned();
    for i in 0..200 {
        let (a, b) = (f64::from(i % 20) / 10.0, f64::from(i % 7) / 3.0);
        writeln!(table, "{a},{b},{}", 3.0 * a - 2.0 * b + 1.0).unwrap();
    }
    fs::write(dir.join("line.csv"), table).unwrap();
    let config = "[data]\ntype = \"table-regression\"\npath = \"line.csv\"\ntarget = \"y\"\n\
                  [model]\nlayers = [\"Linear\"]\n[optimizer]\ntype = \"Adam\"\nlr = 0.1\n\
                  [schedule]\ntype = \"StepLR\"\nstep_size = 20\n[train]\nepochs = 40\n";
    fs::write(dir.join("line.toml"), config).unwrap();
    let out = succeeds(&dir, &["train", "line.toml", "--out", "run"]);
    assert!(out.contains("160 rows of 2 columns to train on, 40 to test, to predict y"), "{out}");
    let metrics: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(dir.join("run/metrics.json")).unwrap()).unwrap();
    // The function is linear, so it is found.
    let test = &metrics["test"];
    assert!(test["r2"].as_f64().unwrap() > 0.999, "{metrics}");
    assert!(test["mean_absolute_error"].as_f64().unwrap() < 0.05, "{metrics}");
    assert!(metrics["epochs"][39]["mean_absolute_error"].is_f64(), "{metrics}");
    assert!(metrics["epochs"][39].get("accuracy").is_none(), "{metrics}");
    // The path is absolute in the run: it is found from anywhere.
    let run = dir.join("run");
    let line = |out: &str| out.lines().find(|l| l.starts_with("test loss")).unwrap().to_owned();
    let again = succeeds(Path::new("/"), &["eval", run.to_str().unwrap()]);
    assert_eq!(line(&again), line(&out));
}

/// One description serves every format, to the bit of the model that comes out.
#[test]
fn tables_of_every_format_are_trained_on_alike() {
    let dir = folder("formats");
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/../data/tests/golden");
    let model = |path: &str, name: &str, more: &str| -> Vec<u8> {
        let config = format!(
            "[data]\npath = \"{path}\"\n{more}\n\
             [model]\nlayers = [\"Linear\"]\n[train]\nepochs = 2\nbatch_size = 8\n"
        );
        fs::write(dir.join("my.toml"), config).unwrap();
        succeeds(&dir, &["train", "my.toml", "--out", name]);
        // What was left to its default is written down, and read again.
        succeeds(&dir, &["summary", &format!("{name}/config.toml")]);
        fs::read(dir.join(name).join("model.safetensors")).unwrap()
    };
    let table = "type = \"table-classification\"\ntarget = \"class\"\ncategorical = [\"city\"]\n\
                 ignore = \"code\"\nmissing_values = \"-45\"\n\
                 missing = [[\"u8\", \"median\"], [\"city\", \"category\"], [\"u16\", 0], \
                 [\"f32\", \"drop-row\"], [\"*\", \"mean\"]]";
    let csv = model(&format!("{golden}/tables/table.csv"), "csv", table);
    for file in ["zstd.parquet", "dictionary.arrow", "lz4.feather"] {
        if cfg!(not(feature = "parquet")) {
            println!("skipped: {file} needs the feature parquet");
            continue;
        }
        assert!(model(&format!("{golden}/tables/{file}"), file, table) == csv, "{file}");
    }
    fs::create_dir(dir.join("arrays")).unwrap();
    for (name, shape) in [("x", "(8, 3)"), ("labels", "(8,)")] {
        let header = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}");
        let (count, values) = if name == "x" { (24, 2) } else { (8, 4) };
        let elements: Vec<u8> = (0..count).map(|i| i % values).collect();
        let head = [b"\x93NUMPY\x01\x00\x76\x00", format!("{header:<117}\n").as_bytes()].concat();
        fs::write(dir.join(format!("arrays/{name}.npy")), [head, elements].concat()).unwrap();
    }
    let numpy = "type = \"numpy-classification\"\ntargets = \"labels\"\ntest_fraction = 0.5";
    assert!(!model("arrays", "numpy", numpy).is_empty());
    let text = "type = \"text\"\nunit = \"byte\"\nblock_size = 8\n[model]\n\
                layers = [{ type = \"Embedding\", num_embeddings = 256, embedding_dim = 4 }, \"Linear\"]";
    let config = format!("[data]\npath = \"{golden}/picture.bmp\"\n{text}\n[train]\nepochs = 1\n");
    fs::write(dir.join("bytes.toml"), config).unwrap();
    let out = succeeds(&dir, &["train", "bytes.toml", "--out", "bytes"]);
    assert!(out.contains("256"), "{out}");
    // A table that is wrong is a mistake of the configuration, or of the data.
    for (more, code, expected) in [
        ("missing = \"guess\"", 2, "`missing` is \"guess\"; give \"error\""),
        ("delimiter = \";;\"", 2, "`delimiter` is \";;\"; give one character"),
        ("ignore = \"code\"", 1, "line 2: the cell of column \"city\" is \"Rome\""),
    ] {
        let config = format!(
            "[data]\ntype = \"table-classification\"\ntarget = \"class\"\n{more}\n\
             path = \"{golden}/tables/table.csv\"\n[model]\nlayers = [\"Linear\"]\n"
        );
        fs::write(dir.join("my.toml"), config).unwrap();
        let message = fails(&dir, &["train", "my.toml"], code);
        assert!(message.contains(expected), "{message}\n{expected}");
    }
}

#[test]
fn the_summary_counts_what_can_be_counted_by_hand() {
    let dir = folder("summary");
    fs::write(dir.join("my.toml"), DEFAULT).unwrap();
    let table = succeeds(&dir, &["summary", "my.toml"]);
    let row = |name: &str| -> Vec<String> {
        let line =
            table.lines().find(|line| line.contains(name)).unwrap_or_else(|| panic!("{table}"));
        line.split_whitespace().map(str::to_owned).collect()
    };
    // 64 · 256 products and sums, and 256 biases.
    let first = row("in_features=64");
    assert!(
        first.contains(&"16,640".to_owned()) && first.contains(&"33,024".to_owned()),
        "{table}"
    );
    assert!(row("ReLU").contains(&"256]".to_owned()) && row("ReLU").contains(&"–".to_owned()));
    let total = row("total");
    assert!(
        total.contains(&"19,210".to_owned()) && total.contains(&"38,410".to_owned()),
        "{table}"
    );
    succeeds(&dir, &["train", "--quiet", "--epochs", "1", "--out", "run"]);
    assert_eq!(succeeds(&dir, &["summary", "run"]), table);
}

#[test]
fn the_reference_configurations_are_read() {
    let mut seen = 0;
    for entry in fs::read_dir(CONFIGS).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let config = Config::read(&path).and_then(|config| config.check());
        assert!(config.is_ok(), "{name}: {config:?}");
        seen += 1;
    }
    assert!(seen >= 5, "{seen} files in {CONFIGS}");
    let digits = Config::read(&Path::new(CONFIGS).join("digits_mlp.toml")).unwrap();
    assert_eq!(digits, Config::default());
}

/// The tables of the page on configurations are made from those of the program.
#[test]
fn the_documentation_lists_every_row() {
    fn rows<I, O>(table: &[Row<I, O>]) -> String {
        let keys = |row: &Row<I, O>| {
            let keys: Vec<String> = row.keys.iter().map(|key| format!("`{key}`")).collect();
            keys.join(", ")
        };
        let row = |row: &Row<I, O>| format!("| `{}` | {} | {} |\n", row.name, keys(row), row.about);
        let rows: String = table.iter().map(row).collect();
        format!("\n| `type` | keys | |\n|---|---|---|\n{rows}\n")
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
    let page = fs::read_to_string(path).unwrap();
    let mut made = page.clone();
    for (name, rows) in [
        ("layers", rows(LAYERS)),
        ("losses", rows(LOSSES)),
        ("optimizers", rows(OPTIMIZERS)),
        ("schedules", rows(SCHEDULES)),
        ("transforms", rows(TRANSFORMS)),
        ("batch transforms", rows(BATCH_TRANSFORMS)),
        ("training", training_rows()),
        ("metrics", rows(METRICS)),
    ] {
        let (begin, end) =
            (format!("<!-- {name}: generated -->\n"), format!("<!-- {name} end -->"));
        let start = made.find(&begin).expect("the page has a place for the table") + begin.len();
        let stop = made.find(&end).expect("the place ends");
        made.replace_range(start..stop, &rows);
    }
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        fs::write(path, &made).unwrap();
    } else {
        assert!(made == page, "docs/configuration.md is stale; run with UPDATE_SNAPSHOTS=1");
    }
}

#[test]
fn the_documentation_tells_the_truth() {
    let page = include_str!("../../../../docs/configuration.md");
    let example = page.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    Config::parse(example, "configuration.md").unwrap().check().unwrap();
    for row in DATASETS {
        assert!(page.contains(&format!("`{}`", row.name)), "{} is not documented", row.name);
        for key in row.keys {
            assert!(page.contains(&format!("`{key}`")), "{}: {key} is not documented", row.name);
        }
    }
    // The defaults that the help of `train` names are those of the default configuration.
    let help = succeeds(&folder("config-help"), &["train", "--help"]);
    let (config, lr) = (Config::default(), "0.003");
    for default in [&config.epochs.to_string(), &config.batch_size.to_string(), lr] {
        assert!(help.contains(&format!("[default: {default}]")), "{default} is not in {help}");
    }
    assert!(config.to_string().contains(&format!("lr = {lr}\n")), "{config}");
}

#[test]
fn a_mistake_is_found_before_data_are_read() {
    let dir = folder("config-first");
    let config = changed("\"digits\"", "\"mnist\"\npath = \"nowhere\"").replace("256", "\"many\"");
    fs::write(dir.join("my.toml"), config).unwrap();
    let outcome = gradus(&dir, &["train", "my.toml"]);
    assert!(outcome.code == 2 && outcome.err.contains("out_features"), "{}", outcome.err);
}

fn training_rows() -> String {
    let keys = Training::KEYS.iter().zip(Training::defaults());
    let row = |((key, about), default): (&(&str, &str), Option<String>)| {
        let default = default.map_or("–".to_owned(), |default| format!("`{default}`"));
        format!("| `{key}` | {default} | {about} |\n")
    };
    format!("\n| key | default | |\n|---|---|---|\n{}\n", keys.map(row).collect::<String>())
}

#[test]
fn a_precision_that_no_device_offers_is_an_error() {
    let dir = folder("precision");
    let config = |precision: &str| {
        let train = format!("[train]\nepochs = 1\nprecision = {precision}\n");
        let model = "[data]\ntype = \"digits\"\n[model]\nlayers = [\"Flatten\", \"Linear\"]\n";
        fs::write(dir.join("config.toml"), format!("{model}{train}")).unwrap();
    };
    for command in [&["train", "config.toml", "--out", "run"][..], &["check", "config.toml"]] {
        config("\"bf16\"");
        let message = fails(&dir, command, 1);
        assert!(message.contains("precision bf16: the device cpu offers f32;"), "{message}");
    }
    assert!(!dir.join("run").exists());
    config("\"fp8\"");
    let message = fails(&dir, &["train", "config.toml"], 2);
    assert!(message.contains("line 7") && message.contains("\"f32\", \"bf16\" or"), "{message}");
    config("\"f32\"");
    succeeds(&dir, &["train", "config.toml", "--out", "run"]);
}
