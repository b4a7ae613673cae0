//! The corpus: expected numbers and where the files are.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;
use serde_json::{Map, Value};

/// One model of the corpus.
#[derive(Clone, Debug, Deserialize)]
pub struct Expected {
    /// `tv/alexnet`
    pub model: String,
    /// The shapes of its inputs.
    #[serde(default)]
    pub inputs: Vec<Vec<i64>>,
    /// What each tool printed, by its name and release.
    pub tools: Map<String, Value>,
    /// What some tools gave for every layer.
    #[serde(default)]
    pub layers: Map<String, Value>,
}

/// A folder with a corpus.
#[derive(Clone, Debug)]
pub struct Corpus {
    /// The models.
    pub models: Vec<Expected>,
    /// Where their files are.
    pub files: PathBuf,
}

impl Corpus {
    /// Reads a folder.
    ///
    /// # Panics
    ///
    /// When the folder is no corpus: this is test code.
    pub fn open(folder: &Path) -> Corpus {
        let archive = folder.join("models.tar.xz");
        let is_program =
            |path: &PathBuf| path.extension().is_some_and(|extension| extension == "pt2");
        let files = if archive.exists() && !list(folder).iter().any(is_program) {
            unpacked(&archive)
        } else {
            folder.into()
        };
        Corpus::from_tables(&[folder], files)
    }

    /// The tables of several folders, and the files of one.
    ///
    /// # Panics
    ///
    /// When there are no tables.
    pub fn from_tables(folders: &[&Path], files: PathBuf) -> Corpus {
        let mut tables: Vec<PathBuf> = folders
            .iter()
            .flat_map(|folder| list(folder))
            .filter(|path| {
                path.extension()
                    .is_some_and(|extension| extension == "jsonl")
            })
            .collect();
        tables.sort();
        assert!(!tables.is_empty(), "{folders:?} hold no *.jsonl");
        let mut models = Vec::new();
        for table in tables {
            let text = read(&table);
            for (line, text) in text.lines().enumerate() {
                match serde_json::from_str(text) {
                    Ok(model) => models.push(model),
                    Err(error) => panic!("{}:{}: {error}", table.display(), line + 1),
                }
            }
        }
        Corpus { models, files }
    }

    /// The corpus that the environment names, or the part of it that the repository holds.
    pub fn find() -> Corpus {
        if let Some(folder) = std::env::var_os("MODELCOST_CORPUS") {
            return Corpus::open(&PathBuf::from(folder));
        }
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let small = here.join("corpus/small");
        Corpus::from_tables(&[&here.join("specs"), &small], small.clone())
    }

    /// The file of a model, if torch could write one.
    pub fn file(&self, model: &Expected, extension: &str) -> Option<PathBuf> {
        let name = format!("{}.{extension}", model.model.replace('/', "__"));
        let path = self.files.join(name);
        path.exists().then_some(path)
    }
}

/// Unpacks the models once into the folder that cargo gives tests.
fn unpacked(archive: &Path) -> PathBuf {
    let size = archive
        .metadata()
        .map(|metadata| metadata.len())
        .unwrap_or(0);
    let build = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/corpus");
    let build = std::env::var_os("CARGO_TARGET_DIR")
        .map_or(build, |target| PathBuf::from(target).join("corpus"));
    let folder = build.join(size.to_string());
    if folder.join("complete").exists() {
        return folder;
    }
    let made = std::fs::create_dir_all(&folder);
    let status = Command::new("tar")
        .arg("xJf")
        .arg(archive)
        .arg("-C")
        .arg(&folder)
        .status();
    match (made, status) {
        (Ok(()), Ok(status)) if status.success() => {}
        (made, status) => panic!("{}: {made:?}, {status:?}", archive.display()),
    }
    if let Err(error) = std::fs::write(folder.join("complete"), "") {
        panic!("{}: {error}", folder.display());
    }
    folder
}

fn list(folder: &Path) -> Vec<PathBuf> {
    match std::fs::read_dir(folder) {
        Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
        Err(error) => panic!("{}: {error}", folder.display()),
    }
}

fn read(path: &Path) -> String {
    match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => panic!("{}: {error}", path.display()),
    }
}
